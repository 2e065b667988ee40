package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache/internal/question"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// questionTimeout bounds a question. Without it, a question that went to a silent member would keep
// the next one from being sent.
const questionTimeout = 5 * time.Second

// askAgain is the wait after a question that failed.
var askAgain = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// asker sends the questions of all caches of one client. A client has one as long as it has caches.
// Its goroutine runs only while a reader waits for a question.
type asker struct {
	ctx    context.Context // ends when the last cache is closed, and with the client
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the goroutine
	caches int            // guarded by askers.mu

	versions  versions
	noStreams atomic.Pointer[time.Time] // when a server last had no RangeStream; nil: never

	// guarded by mu
	mu   sync.Mutex
	line question.Line[*Cache, *reply]
	busy bool // the goroutine runs
}

// reply is what the readers of one question wait for. err and answers are set before done is
// closed.
type reply struct {
	done    chan struct{}
	err     error // why the question failed; nil if it was answered
	answers map[*Cache]answered
}

// answered is what an answer says to one cache.
type answered struct {
	era      int64 // of the cache's view when the question was sent
	revision int64 // a view of the era that has it contains all that was acknowledged before
	proves   bool  // otherwise the era ends
}

// takenBy reports whether a view shows everything that the answer demands, or that the answer is
// out of date because the view belongs to a later era.
func (a answered) takenBy(v *view) bool {
	return v.era != a.era || a.proves && v.revision >= a.revision
}

func newReply() *reply {
	return &reply{done: make(chan struct{}), answers: map[*Cache]answered{}}
}

// askers has the asker of each client that has caches.
var askers = struct {
	mu       sync.Mutex
	byClient map[*clientv3.Client]*asker
}{byClient: map[*clientv3.Client]*asker{}}

// joinAsker returns the asker that all caches of a client share. The cache that calls it must call
// leaveAsker when it ends.
func joinAsker(client *clientv3.Client) *asker {
	askers.mu.Lock()
	defer askers.mu.Unlock()
	a := askers.byClient[client]
	if a == nil {
		a = &asker{versions: versions{orders: map[uint64]bool{}}}
		a.ctx, a.cancel = context.WithCancel(client.Ctx())
		askers.byClient[client] = a
	}
	a.caches++
	return a
}

// leaveAsker says that a cache of the client has ended. If it was the last one, leaveAsker ends the
// asker and waits for its goroutines.
func leaveAsker(client *clientv3.Client) {
	askers.mu.Lock()
	a := askers.byClient[client]
	a.caches--
	last := a.caches == 0
	if last {
		delete(askers.byClient, client)
	}
	askers.mu.Unlock()
	if last {
		a.end()
	}
}

// end ends the goroutines of a and waits for them. A goroutine is started only under one of the two
// locks, and only while the context lives. So no other one is started after end has released the
// locks.
func (a *asker) end() {
	a.mu.Lock()
	a.versions.mu.Lock()
	a.cancel()
	a.versions.mu.Unlock()
	a.mu.Unlock()
	a.tasks.Wait()
}

// join returns the reply of a question that c takes part in and that is sent after a given moment,
// and makes sure that it will be sent.
func (a *asker) join(c *Cache, after time.Time) *reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.line.Join(c, after, newReply).Answer
	if !a.busy && a.ctx.Err() == nil {
		a.busy = true
		// Ends with a.ctx, or when no question is wanted; leaveAsker waits.
		a.tasks.Go(a.run)
	}
	return r
}

// next returns the question to send now. It returns nil if no reader waits for one; then the
// goroutine ends.
func (a *asker) next() *question.Question[*Cache, *reply] {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.line.Send(time.Now())
	a.busy = q != nil
	return q
}

// run sends one question after another, as long as readers wait for one.
func (a *asker) run() {
	failed := 0
	for q := a.next(); q != nil; q = a.next() {
		q.Answer.err = a.ask(q)
		close(q.Answer.done)
		if q.Answer.err == nil {
			a.hold(q, time.Since(q.SentAt))
		}
		a.mu.Lock()
		a.line.Over()
		a.mu.Unlock()
		if q.Answer.err == nil {
			failed = 0
			continue
		}
		// the end of ctx fails the next question, too
		_ = backoff.Wait(a.ctx, askAgain.Delay(failed))
		failed++
	}
}

// ask sends a question and gives its answer to each of the question's caches. If the server refuses
// to read the key of one cache, that cache ends, and ask reads the key of the next. A cache whose
// view was below the revision of the answer before, when that question was sent, asks for progress
// together with this one.
func (a *asker) ask(q *question.Question[*Cache, *reply]) error {
	before := make([]*view, len(q.Parties))
	for i, c := range q.Parties {
		before[i] = c.now()
		c.counts.questions.Add(1)
		if c.eager.Load() {
			c.advance()
		}
	}
	var header *pb.ResponseHeader
	err := error(nil)
	for _, c := range q.Parties {
		if header, err = c.count(a.ctx); !isRefusal(err) {
			break
		}
		c.fail(err)
	}
	if err != nil {
		return err
	}
	for i, c := range q.Parties {
		a := answered{era: before[i].era, revision: header.Revision}
		if a.proves = c.proven(header, q.SentAt, before[i]); a.proves {
			c.reach(header.Revision)
		}
		c.eager.Store(header.Revision > before[i].revision)
		q.Answer.answers[c] = a
	}
	return nil
}

// maxHold bounds for how long the next question is held back.
const maxHold = 2 * time.Millisecond

// hold waits until the caches of a question have reached the revision of its answer. The readers of
// that answer then come back in time to share the next question. hold waits no longer than the
// question took, because readers of other caches may be waiting for the next one.
func (a *asker) hold(q *question.Question[*Cache, *reply], took time.Duration) {
	ctx, cancel := context.WithTimeout(a.ctx, min(took, maxHold))
	defer cancel()
	for _, c := range q.Parties {
		_, _ = c.await(ctx, q.Answer.answers[c].takenBy)
	}
}

// count sends the request of a question, a linearizable read of the cheapest kind, and returns the
// header of the answer.
func (c *Cache) count(ctx context.Context) (*pb.ResponseHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	resp, err := c.get(ctx, c.opts.from, clientv3.WithCountOnly())
	if err != nil {
		return nil, err
	}
	return resp.Header, nil
}

// errNoHeader is the error of an answer that does not say at which revision it was made.
var errNoHeader = errors.New("the server's answer has no header")

// get is a read of the client. All answers to the cache's own reads have a header.
func (c *Cache) get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := c.client.Get(ctx, key, opts...)
	if err == nil && resp.Header == nil {
		err = errNoHeader
	}
	return resp, err
}
