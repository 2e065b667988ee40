package watch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// change is one event, as the store records it and as a watch delivers it.
type change struct {
	rev   int64
	kind  string
	key   string
	value string
	prev  string // empty if the watch is without previous values
}

func changeOf(e *clientv3.Event) change {
	c := change{rev: e.Kv.ModRevision, kind: e.Type.String(), key: string(e.Kv.Key),
		value: string(e.Kv.Value)}
	if e.PrevKv != nil {
		c.prev = fmt.Sprintf("%s@%d", e.PrevKv.Value, e.PrevKv.ModRevision)
	}
	return c
}

// observer consumes one watch, or several in a row. Each further watch starts at the revision after
// the last event of the watch before it.
type observer struct {
	model *watchModel

	name     string
	client   *clientv3.Client
	key      string
	opts     []clientv3.OpOption
	from     int64 // 0: now
	after    time.Duration
	wants    func(change) bool
	prevKV   bool
	leader   bool          // uses WithRequireLeader, and watches again after ErrNoLeader
	churn    bool          // ends its watch now and then, and begins another
	lag      time.Duration // the longest time that it works on a response
	progress bool

	mu       sync.Mutex
	created  int64 // the revision at which the first watch was confirmed
	got      []change
	notices  []notice
	problems []string
}

// notice is a progress notice for the revision rev. The field after is the number of changes that
// were received before the notice.
type notice struct {
	after int
	rev   int64
}

// watchAll starts watches of every kind.
func (m *watchModel) watchAll() {
	all := func(change) bool { return true }
	one := func(c change) bool { return c.key == modelKey(7) }
	prefix := clientv3.WithPrefix()
	for _, o := range []*observer{
		{name: "one key", key: modelKey(7), wants: one},
		{name: "one key from the start", key: modelKey(7), wants: one, from: m.start},
		{name: "prefix", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all},
		{name: "prefix from the start", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all,
			from: m.start},
		{name: "range", key: modelKey(10), opts: []clientv3.OpOption{
			clientv3.WithRange(modelKey(20))},
			wants: func(c change) bool { return c.key >= modelKey(10) && c.key < modelKey(20) }},
		{name: "from key", key: modelKey(40), opts: []clientv3.OpOption{clientv3.WithFromKey()},
			wants: func(c change) bool { return c.key >= modelKey(40) }, from: m.start},
		{name: "future", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all,
			from: m.start + 1000},
		{name: "fragments and previous values", key: "m/",
			opts:  []clientv3.OpOption{prefix, clientv3.WithFragment(), clientv3.WithPrevKV()},
			wants: all, from: m.start, prevKV: true},
		{name: "no puts", key: "m/", opts: []clientv3.OpOption{prefix, clientv3.WithFilterPut()},
			wants: func(c change) bool { return c.kind == "DELETE" }, from: m.start},
		{name: "no deletes", key: "m/", opts: []clientv3.OpOption{prefix,
			clientv3.WithFilterDelete()},
			wants: func(c change) bool { return c.kind == "PUT" }, from: m.start},
		{name: "progress", key: modelKey(7), opts: []clientv3.OpOption{
			clientv3.WithProgressNotify()}, wants: one, progress: true},
		{name: "require leader", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all,
			from: m.start, leader: true},
		{name: "slow", key: "m/", opts: []clientv3.OpOption{prefix,
			clientv3.WithWatchBuffer(0, 20)}, wants: all, from: m.start,
			lag: 20 * time.Millisecond},
		{name: "slow, few bytes", key: "m/", opts: []clientv3.OpOption{prefix,
			clientv3.WithWatchBuffer(20_000, 0), clientv3.WithFragment()},
			wants: all, lag: 10 * time.Millisecond},
		{name: "churn", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all, from: m.start,
			churn: true},
		{name: "late", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all,
			after: time.Second},
		{name: "late from the start", key: "m/", opts: []clientv3.OpOption{prefix}, wants: all,
			from: m.start, after: time.Second},
		{name: "late, one key", key: modelKey(7), wants: one, from: m.start, after: 2 * time.Second,
			progress: true},
	} {
		m.observe(o)
	}
	m.running.Go(m.askForProgress)
}

func (m *watchModel) observe(o *observer) {
	o.model = m
	o.client = m.clients[len(m.observers)%len(m.clients)]
	o.opts = append(o.opts, clientv3.WithCreatedNotify())
	m.observers = append(m.observers, o)
	m.running.Go(o.run)
}

// askForProgress requests progress on every client, so that notices meet watches in all states.
func (m *watchModel) askForProgress() {
	for m.ctx.Err() == nil {
		for _, c := range m.clients {
			_ = c.RequestProgress(m.ctx) // fails while the client has no watch
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// run opens the observer's watches, one after another, until the model stops.
func (o *observer) run() {
	rng := rand.New(rand.NewPCG(uint64(len(o.name)), 2))
	time.Sleep(o.after)
	for o.model.ctx.Err() == nil {
		ctx, cancel := context.WithCancel(o.model.ctx)
		if o.leader {
			ctx = clientv3.WithRequireLeader(ctx)
		}
		responses := -1
		if o.churn {
			responses = 1 + rng.IntN(200)
		}
		if from := o.resumeAt(); from > 0 {
			o.consume(rng, o.client.Watch(ctx, o.key,
				append(slices.Clone(o.opts), clientv3.WithRev(from))...), responses)
		} else {
			o.consume(rng, o.client.Watch(ctx, o.key, o.opts...), responses)
		}
		cancel()
	}
}

// resumeAt returns the revision from which the next watch starts.
func (o *observer) resumeAt() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.got) > 0:
		return o.got[len(o.got)-1].rev + 1
	case o.from == 0 && o.created > 0:
		return o.created + 1
	}
	return o.from
}

// consume reads the given number of responses, or fewer if the channel is closed earlier. If the
// number is negative, it reads until the channel is closed.
func (o *observer) consume(rng *rand.Rand, ch clientv3.WatchChan, responses int) {
	for wr := range ch {
		o.take(wr)
		if o.lag > 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(o.lag))))
		}
		if responses--; responses == 0 {
			return
		}
	}
}

// take records one response.
func (o *observer) take(wr clientv3.WatchResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch err := wr.Err(); {
	case err != nil:
		expected := o.model.ctx.Err() != nil || o.leader && errors.Is(err, rpctypes.ErrNoLeader)
		if !expected {
			o.problems = append(o.problems, err.Error())
		}
	case wr.Created:
		if o.created == 0 {
			o.created = wr.Header.Revision
		}
	case wr.IsProgressNotify():
		o.notices = append(o.notices, notice{len(o.got), wr.Header.Revision})
	default:
		if n := len(o.got); n > 0 && wr.Events[0].Kv.ModRevision <= o.got[n-1].rev {
			o.problems = append(o.problems, fmt.Sprintf(
				"a response begins at revision %d after one that ended at %d",
				wr.Events[0].Kv.ModRevision, o.got[n-1].rev))
		}
		for _, e := range wr.Events {
			o.got = append(o.got, changeOf(e))
		}
	}
}

// expected returns the part of the history that the observer must get. For a watch from "now", this
// part starts at the first received change or at the revision after the confirmation, whichever
// comes first.
func (o *observer) expected(history []change) []change {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := o.from
	if from == 0 {
		from = o.created + 1
		if len(o.got) > 0 {
			from = min(from, o.got[0].rev)
		}
	}
	var want []change
	for _, c := range history {
		if c.rev >= from && o.wants(c) {
			if !o.prevKV {
				c.prev = ""
			}
			want = append(want, c)
		}
	}
	return want
}

// waitFor waits until the observer has got as many changes as it must, or ctx has ended.
func (o *observer) waitFor(ctx context.Context, history []change) {
	for ctx.Err() == nil && !o.hasSeen(len(o.expected(history))) {
		time.Sleep(10 * time.Millisecond)
	}
	assert.NoError(o.model.t, ctx.Err(), "%s has got too few changes", o.name)
}

func (o *observer) hasSeen(changes int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.created > 0 && len(o.got) >= changes
}

// check compares what the observer has got with the history.
func (o *observer) check(history []change) {
	t := o.model.t
	want := o.expected(history)
	assert.Empty(t, o.problems, o.name)
	assert.NotEmpty(t, want, o.name)
	for i, c := range o.got {
		if i >= len(want) || c != want[i] {
			assert.Fail(t, "not the history", "%s, change %d of %d: %+v, want %+v", o.name, i,
				len(want), c, want[min(i, len(want)-1)])
			return
		}
	}
	assert.Len(t, o.got, len(want), o.name)
	if o.progress {
		assert.NotEmpty(t, o.notices, o.name)
	}
	for _, n := range o.notices {
		if n.after < len(want) && want[n.after].rev <= n.rev {
			assert.Fail(t, "progress ahead of events",
				"%s: after %d changes up to %d; the next is %+v", o.name, n.after, n.rev,
				want[n.after])
			return
		}
	}
}

// history reads all changes from one member, without the client under test.
func (m *watchModel) history(ctx context.Context) []change {
	conn := m.cluster.Members()[0].Conn(m.t)
	// The read is linearizable. So when it returns, the member has applied all changes.
	last, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("x")})
	require.NoError(m.t, err)
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	require.NoError(m.t, err)
	require.NoError(m.t, stream.Send(&pb.WatchRequest{
		RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte("m/"), RangeEnd: []byte("m0"), StartRevision: m.start, PrevKv: true,
		}}}))
	var history []change
	for len(history) == 0 || history[len(history)-1].rev < last.Header.Revision {
		resp, err := stream.Recv()
		require.NoError(m.t, err)
		require.False(m.t, resp.Canceled)
		for _, e := range resp.Events {
			history = append(history, changeOf(e))
		}
	}
	return history
}

// checkAcknowledged requires that the history contains each acknowledged change, at the revision
// that the writer received for it.
func (m *watchModel) checkAcknowledged(history []change) {
	at := make(map[string]map[int64]bool)
	for _, c := range history {
		if at[c.value] == nil {
			at[c.value] = make(map[int64]bool)
		}
		at[c.value][c.rev] = true
	}
	for number, rev := range m.acknowledged {
		if !at[strconv.Itoa(number)][rev] {
			assert.Fail(m.t, "acknowledged but not in the history", "change %d at revision %d",
				number, rev)
			return
		}
	}
}
