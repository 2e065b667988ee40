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

// Method names a method of etcd's services: by its full name, as the generated code has it
// (pb.KV_Put_FullMethodName, "/etcdserverpb.KV/Put"), or by the last part of the name ("Put"). A
// method of the health service needs its full name.
type Method string

// Call is one request that a member has received, before it has any effect. On a stream each
// message of the client is a call.
type Call struct {
	Method   Method        // its full name
	Member   int           // the index of the member
	Number   int           // 1 for the first call of this method since New
	Stream   int           // 1 for the first stream since New; 0 if the method is unary
	Request  proto.Message // *pb.PutRequest, *pb.WatchRequest, …; not to be modified
	Metadata metadata.MD   // as the client has sent it
	ctx      context.Context
}

// Context returns a context that ends when the call or its stream ends, or when the member stops. A
// function given to On that blocks must return when this context is done.
func (c *Call) Context() context.Context { return c.ctx }

// Action says what a member does with a call. The zero Action is Pass.
type Action struct {
	kind   actionKind
	delay  time.Duration
	err    error
	answer proto.Message
	edit   editFunc
}

// editFunc changes an answer. It returns false if the answer has another type than the function
// takes.
type editFunc func(proto.Message) bool

type actionKind int

const (
	pass actionKind = iota
	refuse
	lose
	answer
)

// Pass lets the call go on.
func Pass() Action { return Action{} }

// Delay lets the call go on after d. The call has no effect if its context ends before that. On a
// stream the client's later messages wait, too.
func Delay(d time.Duration) Action { return Action{delay: d} }

// Refuse answers with an error. The call has no effect. An error that is no status of gRPC becomes
// Unknown. An error of rpctypes reaches the client as it does from etcd. On a stream, Refuse ends
// the stream.
func Refuse(err error) Action { return Action{kind: refuse, err: err} }

// LoseAnswer lets the call take effect, and returns an error in place of its answer. On a stream,
// LoseAnswer ends the stream.
func LoseAnswer(err error) Action { return Action{kind: lose, err: err} }

// Answer answers with a message that the method may return. The call has no effect.
func Answer(msg proto.Message) Action { return Action{kind: answer, answer: msg} }

// Edit lets the call take effect, and answers with a copy of the answer that f has changed. f must
// take the type that the method returns. On a stream f changes each message that is sent until the
// client's next message takes effect. On a watch stream that includes the events.
func Edit[M proto.Message](f func(M)) Action {
	return Action{edit: func(msg proto.Message) bool {
		m, ok := msg.(M)
		if ok {
			f(m)
		}
		return ok
	}}
}

// Times returns a function for On that takes an action on the first n calls for which it runs, and
// lets later calls go on. Concurrent calls are counted one by one.
func Times(n int, a Action) func(*Call) Action {
	var taken atomic.Int64
	return func(*Call) Action {
		if taken.Add(1) > int64(n) {
			return Pass()
		}
		return a
	}
}

// After returns the action with d added to its delay.
func (a Action) After(d time.Duration) Action {
	a.delay += d
	return a
}

// On makes f decide about every later call of a method. It replaces the function that was set for
// the method before; if f is nil, later calls simply go on. f runs on the goroutine of its call, so
// concurrent calls run f concurrently. f may block, and its call waits as long. On fails the test
// if there is no such method.
func (c *Cluster) On(m Method, f func(*Call) Action) {
	c.tb.Helper()
	name, ok := fullName(m)
	if !ok {
		c.tb.Fatalf("etcdfake: On of the method %q, which etcd does not have", m)
	}
	c.hooks.set(name, f)
}

// hookTable holds the functions that On has set.
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

// decide asks the function that was set for the call's method, waits for the delay of the action,
// and returns the action. It returns an error if the action is Refuse, or if the call's context
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
	if err := call.ctx.Err(); err != nil { // such a call must have no effect
		return Action{}, status.FromContextError(err).Err()
	}
	if a.kind == refuse {
		return Action{}, a.err
	}
	return a, nil
}
