package etcdfake

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	keptFrames  = 40 // stack frames that are recorded for a call, a lease or a watch
	shownFrames = 3  // stack frames of the test's own code that a report shows
	// keptNotes is how many leases, and how many watches, a callerTable remembers. If a test makes
	// more, the report at the end of the test shows the older ones without the lines that made
	// them.
	keptNotes = 10_000
)

// stack is the call stack of the code that made a call, a lease or a watch.
type stack []uintptr

// callerTable records which lines of the test have made the calls, the leases and the watches of
// the clients that Cluster.Client returned.
type callerTable struct {
	// guarded by mu
	mu    sync.Mutex
	calls map[*openCall]struct{}
	// watches holds the newest watches, oldest first, also those that have ended. When there are
	// more than 2*keptNotes, the older half is dropped.
	watches []notedWatch
	leases  map[int64]stack // by lease ID, without revoked leases; keptNotes at most
}

func newCallerTable() *callerTable {
	return &callerTable{calls: make(map[*openCall]struct{}), leases: make(map[int64]stack)}
}

// openCall is a client's unary call that has not returned yet.
type openCall struct {
	method string
	req    proto.Message
	from   stack
}

// notedWatch is a watch that the test has opened. It counts as ended when its context has ended.
type notedWatch struct {
	ctx  context.Context
	key  string
	from stack
}

// intercept is a gRPC client interceptor. It records each unary call until the call returns. When a
// call has granted or revoked a lease, intercept adds or removes the record of the lease.
func (t *callerTable) intercept(ctx context.Context, method string, req, reply any,
	conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	o := &openCall{method: method, req: req.(proto.Message), from: caller()}
	t.mu.Lock()
	t.calls[o] = struct{}{}
	t.mu.Unlock()
	err := call(ctx, method, req, reply, conn, opts...)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, o)
	if err == nil {
		t.noteLease(o, reply)
	}
	return err
}

// noteLease updates t.leases after the call o has succeeded. Callers hold t.mu.
//
//   - A granted lease is added with the call stack of o. If t.leases is full, all older leases are
//     removed first.
//   - A revoked lease is removed.
func (t *callerTable) noteLease(o *openCall, reply any) {
	switch r := reply.(type) {
	case *pb.LeaseGrantResponse:
		if len(t.leases) >= keptNotes {
			clear(t.leases)
		}
		t.leases[r.ID] = o.from
	case *pb.LeaseRevokeResponse:
		delete(t.leases, o.req.(*pb.LeaseRevokeRequest).ID)
	}
}

// watcher is the Watcher of a client. It records the watches that the test opens.
type watcher struct {
	clientv3.Watcher
	callers *callerTable
}

// Watch opens a watch and records the stack of the code that opened it.
func (w watcher) Watch(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	w.callers.noteWatch(notedWatch{ctx: ctx, key: key, from: caller()})
	return w.Watcher.Watch(ctx, key, opts...)
}

func (t *callerTable) noteWatch(w notedWatch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watches = append(t.watches, w)
	if len(t.watches) > 2*keptNotes {
		t.watches = slices.Clone(t.watches[keptNotes:])
	}
}

// call returns the stack of the code that called the method with a request equal to req. It
// considers only calls that have not returned yet, and returns nil if there is no such call.
func (t *callerTable) call(method Method, req proto.Message) stack {
	t.mu.Lock()
	defer t.mu.Unlock()
	for o := range t.calls {
		if o.method == string(method) && proto.Equal(o.req, req) {
			return o.from
		}
	}
	return nil
}

// watchedKeys returns the keys that the test has watched, each with the stack of the code that
// opened a watch of the key.
//
// The stack is nil if all watches of the key have ended in the client. A member may still serve
// such a watch until the client's cancellation arrives, but the test has not left it open.
func (t *callerTable) watchedKeys() map[string]stack {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := make(map[string]stack)
	for _, w := range t.watches {
		switch {
		case w.ctx.Err() == nil:
			keys[w.key] = w.from
		case keys[w.key] == nil:
			keys[w.key] = nil
		}
	}
	return keys
}

func (t *callerTable) lease(id int64) stack {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leases[id]
}

// caller returns a call stack. If a function f calls caller, the stack begins with the function
// that has called f.
func caller() stack {
	pcs := make([]uintptr, keptFrames)
	return pcs[:runtime.Callers(3, pcs)]
}

// String returns ", from " and the innermost lines of the stack that belong to the test's own code.
// It returns "" if the stack is nil.
func (s stack) String() string {
	if s == nil {
		return ""
	}
	var places []string
	frames := runtime.CallersFrames(s)
	for more := len(s) > 0; more && len(places) < shownFrames; {
		var f runtime.Frame
		if f, more = frames.Next(); !foreign(f) {
			name := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
			places = append(places, fmt.Sprintf("%s:%d (%s)", f.File, f.Line, name))
		}
	}
	return ", from " + strings.Join(places, " ← ")
}

// foreign reports whether a function belongs to the client, to gRPC or to Go, and not to the test.
// A function in a _test.go file always belongs to the test.
func foreign(f runtime.Frame) bool {
	for _, prefix := range []string{"runtime.", "testing.", "testing/", "internal/",
		"google.golang.org/grpc", "go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/v3"} {
		if strings.HasPrefix(f.Function, prefix) && !strings.HasSuffix(f.File, "_test.go") {
			return true
		}
	}
	return false
}
