package mirror_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/mirror"
)

// fill puts n keys with the prefix "m/", and some other keys, into a fake member.
func fill(t *testing.T, fake *etcdfake.Server, n int) {
	t.Helper()
	put := func(key string) {
		_, err := fake.Apply(t.Context(), "Put",
			&pb.PutRequest{Key: []byte(key), Value: []byte("v")})
		require.NoError(t, err)
	}
	put("l")
	put("m0")
	for i := range n {
		put(fmt.Sprintf("m/%05d", i))
	}
}

func collect(pages <-chan *clientv3.GetResponse, errs chan error) (keys []string, err error) {
	for page := range pages {
		for _, kv := range page.Kvs {
			keys = append(keys, string(kv.Key))
		}
	}
	return keys, <-errs
}

// TestTheBaseIsOfOneRevision: SyncBase reads all pages at one revision, although the test writes a
// key after each page. SyncBase requests only keys that have the prefix.
func TestTheBaseIsOfOneRevision(t *testing.T) {
	for _, rev := range []int64{0, 2503} { // fill puts 2502 keys, and the first put has revision 2
		fake := etcdfake.Start(t)
		fill(t, fake, 2500)
		fake.Unary("Range", func(ctx context.Context, req proto.Message) (proto.Message, error) {
			resp, err := fake.Apply(ctx, "Range", req)
			if err == nil {
				_, err = fake.Apply(ctx, "Put",
					&pb.PutRequest{Key: fmt.Appendf(nil, "m/later%d", fake.Revision())})
			}
			return resp, err
		})
		s := mirror.NewSyncer(newClient(t, fake.Addr()), "m/", rev)
		keys, err := collect(s.SyncBase(t.Context()))
		require.NoError(t, err)
		require.Len(t, keys, 2500)
		require.Equal(t, "m/00000", keys[0])
		require.Equal(t, "m/02499", keys[2499])
		requests := etcdfake.RequestsOf[*pb.RangeRequest](fake)
		require.Len(t, requests, 3)
		for i, req := range requests {
			require.Equal(t, "m0", string(req.RangeEnd))
			require.Contains(t, string(req.Key), "m/")
			if i > 0 || rev > 0 {
				require.EqualValues(t, 2503, req.Revision)
			}
		}
		first := <-s.SyncUpdates(t.Context())
		require.NoError(t, first.Err())
		require.EqualValues(t, 2504, first.Events[0].Kv.ModRevision, "right after the base")
	}
}

// TestASecondBaseIsOfTheSameRevision: a second SyncBase reads at the revision of the first one,
// although a key was written between them.
func TestASecondBaseIsOfTheSameRevision(t *testing.T) {
	fake := etcdfake.Start(t)
	fill(t, fake, 3)
	s := mirror.NewSyncer(newClient(t, fake.Addr()), "m/", 0)
	first, err := collect(s.SyncBase(t.Context()))
	require.NoError(t, err)
	_, err = fake.Apply(t.Context(), "Put", &pb.PutRequest{Key: []byte("m/later")})
	require.NoError(t, err)
	second, err := collect(s.SyncBase(t.Context()))
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Len(t, second, 3)
}

func TestAllKeys(t *testing.T) {
	fake := etcdfake.Start(t)
	fill(t, fake, 3)
	keys, err := collect(mirror.NewSyncer(newClient(t, fake.Addr()), "", 0).SyncBase(t.Context()))
	require.NoError(t, err)
	require.Equal(t, []string{"l", "m/00000", "m/00001", "m/00002", "m0"}, keys)
}

func TestErrorsOfTheBase(t *testing.T) {
	client, ctx := newClient(t, cluster.Endpoints()...), t.Context()
	var rev int64
	for range 3 {
		put, err := client.Put(ctx, "errors", "v")
		require.NoError(t, err)
		rev = put.Header.Revision
	}
	_, err := client.Compact(ctx, rev)
	require.NoError(t, err)
	_, err = collect(mirror.NewSyncer(client, "errors", rev-1).SyncBase(ctx))
	require.ErrorIs(t, err, rpctypes.ErrCompacted)
	last := <-mirror.NewSyncer(client, "errors", rev-2).SyncUpdates(ctx)
	require.ErrorIs(t, last.Err(), rpctypes.ErrCompacted)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	s := mirror.NewSyncer(client, "errors", 0)
	_, err = collect(s.SyncBase(cancelled))
	require.Equal(t, context.Canceled, err)
	require.Panics(t, func() { s.SyncUpdates(ctx) }, "where to begin is not known")
}

// TestAReaderWhoStops: if the program stops reading the pages of SyncBase, the goroutine of
// SyncBase ends when the context is cancelled or the client is closed.
func TestAReaderWhoStops(t *testing.T) {
	fake := etcdfake.Start(t)
	fill(t, fake, 5000)
	client := newClient(t, fake.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	for range 10 {
		mirror.NewSyncer(client, "m/", 0).SyncBase(ctx)
	}
	require.Eventually(t, func() bool { return delivering() == 10 }, waitFor, tick)
	cancel()
	require.Eventually(t, func() bool { return delivering() == 0 }, waitFor, tick)
	pages, errs := mirror.NewSyncer(client, "m/", 0).SyncBase(context.WithoutCancel(ctx))
	require.NoError(t, client.Close())
	require.Eventually(t, func() bool { return delivering() == 0 }, waitFor, tick)
	_, err := collect(pages, errs)
	require.Error(t, err)
}

// delivering counts the goroutines that deliver pages.
func delivering() int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "mirror.(*base).deliver(")
}

// TestHostilePagesAreErrors: SyncBase returns an error for pages that do not advance or that lack
// fields.
func TestHostilePagesAreErrors(t *testing.T) {
	header := &pb.ResponseHeader{Revision: 7}
	pairs := func(key string) []*mvccpb.KeyValue { return []*mvccpb.KeyValue{{Key: []byte(key)}} }
	for name, answer := range map[string]*pb.RangeResponse{
		"nothing":     {},
		"no revision": {Header: &pb.ResponseHeader{Revision: -1}},
		"empty pages": {Header: header, More: true},
		"empty key":   {Header: header, More: true, Kvs: pairs("")},
		"a key below": {Header: header, More: true, Kvs: pairs("l")},
		"same page":   {Header: header, More: true, Kvs: pairs("m/k")},
	} {
		t.Run(name, func(t *testing.T) {
			fake := etcdfake.Start(t)
			fake.Unary("Range", func(context.Context, proto.Message) (proto.Message, error) {
				return answer, nil
			})
			_, err := collect(mirror.NewSyncer(newClient(t, fake.Addr()), "m/",
				0).SyncBase(t.Context()))
			require.ErrorContains(t, err, "etcdclient: malformed response: ")
		})
	}
}
