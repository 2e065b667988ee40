package namespace_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/namespace"
)

// world sends each request to a namespace on a real server, and without the prefix to a model. The
// model is a fake server in memory that only has the namespace's keys.
type world struct {
	prefix  string
	real    *clientv3.Client // sees all keys of the server
	inside  clientv3.KV      // the KV of the namespace
	watcher clientv3.Watcher
	model   *clientv3.Client
	offset  int64 // a revision of the server minus that of the model
	foreign []*mvccpb.KeyValue
}

const leaseID = 77 // a lease of the real server and of the model

// prefixes are the prefixes of namespaces to test. For one that ends in 0xff, the end of the range
// is harder to compute.
var prefixes = []string{"p/", "p\xff", "p\xff\xff", "\xff", "\xff\xff", "\x00", "a"}

// newWorld deletes all keys of the server, and puts keys just outside the namespace.
func newWorld(t *testing.T, real *clientv3.Client, prefix string) *world {
	fake := etcdfake.New(t)
	w := &world{
		prefix:  prefix,
		real:    real,
		inside:  namespace.NewKV(real.KV, prefix),
		watcher: namespace.NewWatcher(real.Watcher, prefix),
		model:   newClient(t, fake.Listen()),
	}
	ctx := t.Context()
	_, err := pb.NewLeaseClient(w.model.ActiveConnection()).LeaseGrant(ctx,
		&pb.LeaseGrantRequest{ID: leaseID, TTL: 9999})
	require.NoError(t, err)
	_, err = real.Delete(ctx, "", clientv3.WithPrefix())
	require.NoError(t, err)
	for _, key := range neighbours(prefix) {
		_, err := real.Put(ctx, key, "foreign")
		require.NoError(t, err)
	}
	w.foreign, w.offset = w.outside(t)
	w.offset-- // an empty model has revision 1, not 0
	return w
}

// neighbours are keys just outside a namespace.
func neighbours(prefix string) []string {
	last := len(prefix) - 1
	keys := []string{"\x00\x00", "a0", "b", "p", "q", "\xfe\xff", prefix,
		prefix[:last] + string([]byte{prefix[last] - 1}) + "\xff"}
	if end := clientv3.GetPrefixRangeEnd(prefix); end != "\x00" {
		keys = append(keys, end, end+"\x00")
	}
	var outside []string
	for _, key := range keys {
		if key != "" && (key == prefix || !strings.HasPrefix(key, prefix)) {
			outside = append(outside, key)
		}
	}
	return outside
}

// outside returns the server's keys that are not in the namespace. The prefix itself is one of
// them, because no key of the namespace is empty.
func (w *world) outside(t *testing.T) (kvs []*mvccpb.KeyValue, rev int64) {
	t.Helper()
	all, err := w.real.Get(t.Context(), "", clientv3.WithPrefix())
	require.NoError(t, err)
	for _, kv := range all.Kvs {
		if !bytes.HasPrefix(kv.Key, []byte(w.prefix)) || len(kv.Key) == len(w.prefix) {
			kvs = append(kvs, kv)
		}
	}
	return kvs, all.Header.Revision
}

// step is one request, which is sent in the namespace and to the model. The function run adds the
// parameter offset to the revisions in the request.
type step struct {
	text string
	run  func(ctx context.Context, kv clientv3.KV, offset int64) (proto.Message, error)
}

// both sends one request to the model and to the namespace, and compares the results.
func (w *world) both(t *testing.T, s step) {
	t.Helper()
	want, wantErr := s.run(t.Context(), w.model, 0)
	got, gotErr := s.run(t.Context(), w.inside, w.offset)
	if wantErr != nil && gotErr == rpctypes.ErrEmptyKey {
		return // a namespace refuses an empty key before the server finds other mistakes
	}
	if wantErr != nil || gotErr != nil {
		require.Equal(t, wantErr, gotErr, "prefix %q: %s", w.prefix, s.text)
		return
	}
	normalize(want.ProtoReflect(), 0)
	normalize(got.ProtoReflect(), w.offset)
	require.True(t, proto.Equal(want, got), "prefix %q: %s\nmodel:     %v\nnamespace: %v", w.prefix,
		s.text, want, got)
}

// normalize subtracts the offset from all revisions, and clears the other header fields, which
// differ between the real server and the model.
func normalize(m protoreflect.Message, offset int64) {
	switch msg := m.Interface().(type) {
	case *pb.ResponseHeader:
		msg.ClusterId, msg.MemberId, msg.RaftTerm = 0, 0, 0
		msg.Revision -= min(offset, msg.Revision)
		return
	case *mvccpb.KeyValue:
		msg.CreateRevision -= min(offset, msg.CreateRevision)
		msg.ModRevision -= min(offset, msg.ModRevision)
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := range value.List().Len() {
				normalize(value.List().Get(i).Message(), offset)
			}
		default:
			normalize(value.Message(), offset)
		}
		return true
	})
}

// unharmed checks that the keys outside the namespace have not changed.
func (w *world) unharmed(t *testing.T) {
	t.Helper()
	now, _ := w.outside(t)
	require.Len(t, now, len(w.foreign), "prefix %q", w.prefix)
	for i, kv := range now {
		require.True(t, proto.Equal(w.foreign[i], kv), "prefix %q: %v is now %v", w.prefix,
			w.foreign[i], kv)
	}
}
