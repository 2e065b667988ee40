package etcdfake

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	keptFrames  = 40 // of a call's stack
	shownFrames = 3  // of the test's own code
)

// stack is where a call comes from.
type stack []uintptr

// callerTable knows where the test has made the calls, the leases and the watches of the clients
// that Cluster.Client returned.
type callerTable struct {
	// guarded by mu
	mu      sync.Mutex
	calls   map[*openCall]struct{}
	watches map[*openWatch]struct{}
	watched map[string]bool // the keys of all watches, also of those that have ended
	leases  map[int64]stack
}

func newCallerTable() *callerTable {
	return &callerTable{calls: make(map[*openCall]struct{}),
		watches: make(map[*openWatch]struct{}), watched: make(map[string]bool),
		leases: make(map[int64]stack)}
}

// openCall is a unary call that has not returned.
type openCall struct {
	method string
	req    proto.Message
	from   stack
}

// openWatch is a watch whose context has not ended.
type openWatch struct {
	ctx  context.Context
	key  string
	from stack
}

// intercept notes a unary call while it lasts, and the lease that it was granted.
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
	if lease, ok := reply.(*pb.LeaseGrantResponse); ok && err == nil {
		t.leases[lease.ID] = o.from
	}
	return err
}

// watcher notes the watches of a client.
type watcher struct {
	clientv3.Watcher
	callers *callerTable
}

// Watch opens a watch and notes where, until its context ends.
func (w watcher) Watch(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	o := &openWatch{ctx: ctx, key: key, from: caller()}
	w.callers.mu.Lock()
	w.callers.watches[o], w.callers.watched[key] = struct{}{}, true
	w.callers.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.callers.mu.Lock()
		defer w.callers.mu.Unlock()
		delete(w.callers.watches, o)
	})
	return w.Watcher.Watch(ctx, key, opts...)
}

// call returns where a call that a member has received was made, or nil.
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

// watch returns where a watch of a key was opened, or nil. It reports that all watches of the key
// have ended if they were opened by clients of the table's and their contexts have ended: the
// member may not know yet.
func (t *callerTable) watch(key string) (from stack, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for o := range t.watches {
		if o.key == key && o.ctx.Err() == nil {
			return o.from, false
		}
	}
	return nil, t.watched[key]
}

func (t *callerTable) lease(id int64) stack {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leases[id]
}

// caller returns the stack of the function that has called its caller.
func caller() stack {
	pcs := make([]uintptr, keptFrames)
	return pcs[:runtime.Callers(3, pcs)]
}

// String names the places in the test's own code, the innermost first, behind ", from ". It is ""
// if the stack is nil.
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

// foreign reports whether a function belongs to the client, to gRPC or to Go.
func foreign(f runtime.Frame) bool {
	for _, prefix := range []string{"runtime.", "testing.", "testing/", "internal/",
		"google.golang.org/grpc", "go.etcd.io/etcd/api/v3", "go.etcd.io/etcd/client/v3"} {
		if strings.HasPrefix(f.Function, prefix) && !strings.HasSuffix(f.File, "_test.go") {
			return true
		}
	}
	return false
}
