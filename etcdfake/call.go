package etcdfake

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Method is the name of an RPC method of etcd's services. It is the full name, as in the generated
// code (pb.KV_Put_FullMethodName, "/etcdserverpb.KV/Put"), or the last part of the full name
// ("Put"). For a method of the gRPC health service it must be the full name.
type Method string

// Call is one request that a member has received, before the request has any effect. On a stream
// each message of the client is a call.
type Call struct {
	Method   Method        // the full name of the method
	Member   int           // the index of the member that has received the call
	Number   int           // 1 for the first call of this method in the cluster
	Stream   int           // 1 for the first stream in the cluster; 0 if the method is unary
	Request  proto.Message // *pb.PutRequest, *pb.WatchRequest, …; not to be modified
	Metadata metadata.MD   // the metadata that the client sent with the request
	ctx      context.Context
}

// Context returns a context that ends when the call or its stream ends, or when the member stops.
// If a function given to On blocks, it must return when this context ends.
func (c *Call) Context() context.Context { return c.ctx }

// Action says what a member does with a call. The zero Action lets the member handle it as usual.
type Action struct {
	kind   actionKind
	delay  time.Duration
	err    error
	answer proto.Message
	edit   editFunc
}

// editFunc changes an answer with the function that the test has given to Edit. It changes nothing
// and returns false if the type of the answer is not the type that the test's function takes.
type editFunc func(proto.Message) bool

type actionKind int

const (
	pass actionKind = iota
	refuse
	lose
	answer
)

// Pass lets the member handle the call as usual.
func Pass() Action { return Action{} }

// Delay makes the call wait for d, and then lets the member handle it as usual. The call has no
// effect if its context ends during the wait. On a stream the client's later messages wait, too.
func Delay(d time.Duration) Action { return Action{delay: d} }

// Refuse answers the call with err. The call has no effect. An error of the package rpctypes
// reaches the client as it does from etcd. Any err that is not a gRPC status has the code Unknown.
// On a stream, Refuse ends the stream.
func Refuse(err error) Action { return Action{kind: refuse, err: err} }

// LoseAnswer lets the call take effect, but the client gets err instead of the answer. On a stream,
// err ends the stream.
func LoseAnswer(err error) Action { return Action{kind: lose, err: err} }

// Answer answers the call with msg, which must have the type that the RPC method returns. The call
// has no effect.
func Answer(msg proto.Message) Action { return Action{kind: answer, answer: msg} }

// Edit lets the call take effect, and answers with a copy of the answer that f has changed. M must
// be the type that the RPC method returns.
//
// On a stream, f changes every message that the member sends, until the client's next message takes
// effect. On a watch stream this includes the messages with events.
func Edit[M proto.Message](f func(M)) Action {
	return Action{edit: func(msg proto.Message) bool {
		m, ok := msg.(M)
		if ok {
			f(m)
		}
		return ok
	}}
}

// Times returns a function for [Cluster.On] that returns the action a for its first n calls, and
// Pass for all later calls. The function is safe for concurrent use.
func Times(n int, a Action) func(*Call) Action {
	var taken atomic.Int64
	return func(*Call) Action {
		if taken.Add(1) > int64(n) {
			return Pass()
		}
		return a
	}
}

// After returns a copy of the action with d added to its delay.
func (a Action) After(d time.Duration) Action {
	a.delay += d
	return a
}

// On makes f decide what happens to every later call of the method m. f replaces the function that
// was set for the method before. If f is nil, the members handle later calls as usual. On fails the
// test if there is no such method.
//
// f runs on the goroutine of the call, so concurrent calls run f concurrently. f may block; the
// call then waits until f returns.
func (c *Cluster) On(m Method, f func(*Call) Action) {
	c.tb.Helper()
	name, ok := fullName(m)
	if !ok {
		c.tb.Fatalf("etcdfake: On of the method %q, which etcd does not have", m)
	}
	c.hooks.set(name, f)
}

// hookTable holds the functions that On has set, by the full name of the method.
type hookTable struct {
	c *Cluster

	// guarded by mu
	mu    sync.Mutex
	hooks map[Method]func(*Call) Action
}

func (t *hookTable) set(m Method, f func(*Call) Action) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hooks == nil {
		t.hooks = make(map[Method]func(*Call) Action)
	}
	t.hooks[m] = f
}

// decide returns the action for a call: the result of the function given to On. It first waits for
// the delay of the action. It returns an error if the action is Refuse, or if the call's context
// ends.
func (t *hookTable) decide(call *Call) (Action, error) {
	t.mu.Lock()
	f := t.hooks[call.Method]
	t.mu.Unlock()
	if f == nil {
		return Action{}, nil
	}
	a := f(call)
	if err := wait(call.ctx, a.delay); err != nil {
		return Action{}, err
	}
	if err := call.ctx.Err(); err != nil { // a call whose context has ended has no effect
		return Action{}, status.FromContextError(err).Err()
	}
	if a.kind == refuse {
		return Action{}, a.err
	}
	return a, nil
}
