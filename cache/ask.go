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

// questionTimeout is the timeout of a question (one linearizable read that many readers share).
// Without it, a member that does not answer would keep the next question from being sent. After
// each timeout, the next question gets a longer one.
var questionTimeout = backoff.Policy{Base: 5 * time.Second, Max: 2 * time.Minute}

// askAgain sets the wait after a question (a linearizable read that many readers share) has failed,
// before the next question is sent.
var askAgain = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// asker sends the questions of all caches of one client. A question is one linearizable read, which
// many readers share. Its answer proves how fresh the caches are. A client has one asker as long as
// it has caches that are not closed. The asker's goroutine runs only while readers wait for a
// question.
type asker struct {
	ctx    context.Context // ends when the client or its last cache is closed
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the goroutines of the asker
	caches int            // how many caches share the asker; guarded by askers.mu

	versions versions
	// noStreams is when a server was last found to have no RangeStream method; nil if never.
	noStreams atomic.Pointer[time.Time]
	// slow is how many questions have timed out since one was answered within the shortest timeout.
	// Only the goroutine that runs asker.run uses it.
	slow int

	// guarded by mu
	mu   sync.Mutex
	line question.Line[*Cache, *reply]
	busy bool // the goroutine that runs asker.run exists
}

// reply is the result of one question (a linearizable read). The readers that share the question
// wait until done is closed. err and answers are set before that.
type reply struct {
	done    chan struct{}
	err     error               // why the question failed; nil if it was answered
	answers map[*Cache]answered // what the answer means for each cache that took part
}

// answered is what the answer to a question (a linearizable read) means for one cache.
type answered struct {
	// era is the era of the cache's view when the question was sent: how often the copy had been
	// replaced by then because it was wrong or the cluster was replaced or restored (see view.era).
	era int64
	// revision is the revision of the answer. A view of this era and at least this revision
	// contains every write that was acknowledged before the question was sent.
	revision int64
	// proves says that the answer proves how fresh the cache is. It is false if the answer shows
	// that the cluster was replaced or restored, if the cache has replaced its copy since the
	// question was sent, or if it knows already that it must.
	proves bool
}

// takenBy reports whether readers can stop waiting for the answer's revision when the newest view
// is v. They can in two cases:
//
//   - v has reached that revision, the answer proves freshness, and the copy was not found to be
//     wrong since
//   - v is of another era: the copy was replaced after the question was sent, so the answer means
//     nothing any more
func (a answered) takenBy(v *view) bool {
	return v.era != a.era || a.proves && !v.doubted && v.revision >= a.revision
}

func newReply() *reply {
	return &reply{done: make(chan struct{}), answers: map[*Cache]answered{}}
}

// askers has, for each client that has caches, the asker that sends their linearizable reads.
var askers = struct {
	mu       sync.Mutex
	byClient map[*clientv3.Client]*asker
}{byClient: map[*clientv3.Client]*asker{}}

// joinAsker returns the one asker that all caches of a client share. If the client has no asker
// yet, joinAsker makes one. A cache that has called joinAsker must call leaveAsker when it is
// closed.
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

// leaveAsker is called when a cache of the client is closed. If that was the client's last cache,
// leaveAsker ends the asker, which sends the linearizable reads of the caches, and waits for the
// asker's goroutines.
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

// end ends the goroutines of a and waits for them. It cancels a.ctx while it holds a.mu and
// a.versions.mu. Goroutines are started only under one of these locks, and only while a.ctx lives.
// So none can be started afterwards.
func (a *asker) end() {
	a.mu.Lock()
	a.versions.mu.Lock()
	a.cancel()
	a.versions.mu.Unlock()
	a.mu.Unlock()
	a.tasks.Wait()
}

// join makes the cache c share a question: a linearizable read that is sent after the given moment.
// It makes sure that the question is sent, and returns the question's reply.
func (a *asker) join(c *Cache, after time.Time) *reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.line.Join(c, after, newReply).Answer
	if !a.busy && a.ctx.Err() == nil {
		a.busy = true
		// The goroutine ends with a.ctx, or when no reader waits for a question. asker.end waits
		// for it.
		a.tasks.Go(a.run)
	}
	return r
}

// next returns the question (linearizable read that many readers share) to send now. It returns nil
// if no reader waits for an answer. Then the goroutine that calls next must end.
func (a *asker) next() *question.Question[*Cache, *reply] {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.line.Send(time.Now())
	a.busy = q != nil
	return q
}

// run sends one question (linearizable read that many readers share) after another, as long as
// readers wait for an answer. It runs on a goroutine of its own.
func (a *asker) run() {
	failed := 0
	for q := a.next(); q != nil; q = a.next() {
		q.Answer.err = a.ask(q, questionTimeout.Delay(a.slow))
		close(q.Answer.done)
		if q.Answer.err == nil {
			took := time.Since(q.SentAt)
			if took < questionTimeout.Base {
				a.slow = 0
			}
			a.hold(q, took)
		}
		a.mu.Lock()
		a.line.Over()
		a.mu.Unlock()
		if q.Answer.err == nil {
			failed = 0
			continue
		}
		if errors.Is(q.Answer.err, context.DeadlineExceeded) {
			a.slow++
		}
		// If a.ctx has ended, the next question fails at once, so the error of Wait can be ignored.
		_ = backoff.Wait(a.ctx, askAgain.Delay(failed))
		failed++
	}
}

// ask sends a question: one linearizable read that many readers share. It records in q.Answer what
// the answer means for each cache of q.Parties. The question reads a key of the first cache. If the
// server denies permission for that key, that cache ends, and ask reads a key of the next cache.
//
// For a cache c with c.eager set, ask first requests watch progress. A reader can use an answer
// only after the view of its cache has reached the revision of the answer. c.eager says that the
// previous answer was ahead of the view. Probably the next one will be, too.
func (a *asker) ask(q *question.Question[*Cache, *reply], timeout time.Duration) error {
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
		if header, err = c.count(a.ctx, timeout); !isRefusal(err) {
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

// maxHold is the longest time for which the next question (linearizable read that readers share) is
// delayed, so that the readers of the previous answer can share it: see asker.hold.
const maxHold = 2 * time.Millisecond

// hold delays the next question (linearizable read that many readers share). It waits until the
// caches that took part in the question q have reached the revision of its answer. Then the readers
// that share q return. Those that read again at once can share the next question. hold waits no
// longer than q took, because readers of other caches may be waiting.
func (a *asker) hold(q *question.Question[*Cache, *reply], took time.Duration) {
	ctx, cancel := context.WithTimeout(a.ctx, min(took, maxHold))
	defer cancel()
	for _, c := range q.Parties {
		_, _ = c.await(ctx, q.Answer.answers[c].takenBy)
	}
}

// count sends a linearizable read that counts one key, which is the cheapest kind of read. It
// returns the header of the answer.
func (c *Cache) count(ctx context.Context, timeout time.Duration) (*pb.ResponseHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The client's KV may answer reads of single keys from memory. But this read must reach the
	// server, so it reads a range, which has only one key.
	resp, err := c.get(ctx, c.opts.from, clientv3.WithRange(c.opts.from+"\x00"),
		clientv3.WithCountOnly())
	if err != nil {
		return nil, err
	}
	return resp.Header, nil
}

// errNoHeader is the error of an answer without a header, whose revision is therefore unknown.
var errNoHeader = errors.New("the server's answer has no header")

// get reads keys through the client. It returns an error if the answer has no header, so its
// callers need not check for that.
func (c *Cache) get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := c.client.Get(ctx, key, opts...)
	if err == nil && resp.Header == nil {
		err = errNoHeader
	}
	return resp, err
}
