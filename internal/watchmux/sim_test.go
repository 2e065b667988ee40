package watchmux

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// TestEveryHistoryIsWhole takes random steps of consumers, the server and the network. Each watch
// must see all events of its key, once, in order, and all events of a revision together. No
// progress notice may come before the events up to its revision, unless the server itself sends its
// notices too early (a hasty server).
func TestEveryHistoryIsWhole(t *testing.T) {
	ordered, adopted := 0, 0
	for seed := range uint64(1000) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := runSim(t, seed)
			ordered += s.ordered
			adopted += s.adopted
		}) {
			return
		}
	}
	require.Greater(t, ordered, 100, "streams found to keep the order of notices")
	require.Greater(t, adopted, 100, "watches that took the id of a shadow over")
}

func runSim(t *testing.T, seed uint64) *sim {
	s := newSim(t, seed)
	for range 5 {
		s.run(200, true)
	}
	s.server.calm = true
	s.run(5000, false) // no more changes and faults: all that is under way arrives
	s.finish()
	return s
}

// sim is a mux under test. The fields and methods of sim simulate what surrounds the mux: its link
// (the connection to the server), its consumers, and the server.
type sim struct {
	t      *testing.T
	rand   *rand.Rand
	server *simServer
	mux    *Mux
	sinks  []*simSink

	open    bool  // the client has a stream
	broken  error // why the stream broke; nil after connect has reported it to the mux
	probing int64
	holding bool // the mux has paused watchers, and waits for a call of Release
	ended   bool

	ordered int // steps after which the mux relies on the order of progress notices
	// summed up over all steps: the watches that use the id of their shadow (a second watch)
	adopted int
}

func newSim(t *testing.T, seed uint64) *sim {
	r := rand.New(rand.NewPCG(seed, 7))
	s := &sim{t: t, rand: r, server: &simServer{rand: r, ownIDs: r.IntN(3) == 0,
		revBefore: r.IntN(2) == 0, hasty: r.IntN(4) == 0}}
	s.server.put("a")
	s.mux = New(s, Config{
		Window: 4, MinBatch: 3, Fragments: r.IntN(2) == 0, Limited: r.IntN(2) == 0,
		TryingOptions: func(id int64) { s.probing = id },
		Holding:       func() { s.holding = true },
		Refused:       func(string) bool { return r.IntN(3) == 0 },
	})
	return s
}

// Send implements Link.
func (s *sim) Send(reqs ...*pb.WatchRequest) {
	if s.open && s.broken == nil {
		s.server.stream.reqs = append(s.server.stream.reqs, reqs...)
	}
}

func (s *sim) Queued() int {
	if !s.open {
		return 0
	}
	return len(s.server.stream.reqs)
}

func (s *sim) Reconnect(reason error) {
	if s.open && s.broken == nil {
		s.broken = reason
	}
}

func (s *sim) Stop() { s.ended = true }

// progresses returns the steps that deliver what the server has to send. All other steps are in
// faults.
func (s *sim) progresses() []func() {
	return []func(){
		s.connect,
		func() { s.serve(s.server.receive) },
		func() { s.serve(s.server.sync) },
		func() { s.serve(s.server.transmit) },
		s.deliver,
		func() {
			s.pick(func(k *simSink) {
				k.full = false
				s.mux.Drained(&k.watcher)
			})
		},
		func() {
			if s.holding {
				s.holding = false
				s.mux.Release()
			}
		},
	}
}

func (s *sim) faults() []func() {
	faults := []error{
		rpctypes.ErrGRPCStopped, rpctypes.ErrGRPCStopped,
		status.Error(codes.FailedPrecondition, "unsupported"), io.EOF,
		status.Error(codes.ResourceExhausted, "grpc: received message larger than max (6 vs. 4)"),
	}
	changes := [][]string{{"a"}, {"b"}, {"a", "b", "c", "d", "e"}, {"c", "d"}}
	return []func(){
		func() { s.server.put(changes[s.rand.IntN(len(changes))]...) },
		s.watch,
		func() {
			s.pick(func(k *simSink) { k.ended = s.mux.Cancel(&k.watcher) || k.ended })
		},
		func() { s.mux.RequestProgress() },
		func() { s.mux.CheckLiveness(s.rand.IntN(3) > 0, s.server.quiet()) },
		func() { s.Reconnect(faults[s.rand.IntN(len(faults))]) },
		func() { s.mux.Overdue(s.probing) },
		func() { s.server.compacted = max(s.server.compacted, s.rand.Int64N(s.server.rev()+1)) },
	}
}

// run takes random steps. If the parameter faults is true, some of them come from s.faults, with
// new probabilities in each call of run.
func (s *sim) run(steps int, faults bool) {
	kinds := s.progresses()
	weights := []int{9, 9, 9, 9, 9, 9, 2}
	if faults {
		weights[2] = 1 + s.rand.IntN(9) // a small weight lets watches catch up slowly
		kinds = append(kinds, s.faults()...)
		for _, most := range []int{9, 3, 2, 3, 3, 2, 1, 1} {
			weights = append(weights, s.rand.IntN(most+1))
		}
	}
	var choices []func()
	for i, kind := range kinds {
		for range weights[i] {
			choices = append(choices, kind)
		}
	}
	for ; steps > 0 && !s.ended; steps-- {
		choices[s.rand.IntN(len(choices))]()
		s.look()
	}
}

// look checks that the mux does not trust the progress notices of a hasty server, which sends a
// notice before the events up to the notice's revision. It also counts steps for the statistics of
// TestEveryHistoryIsWhole.
func (s *sim) look() {
	if s.mux.progress.ordered {
		require.False(s.t, s.server.hasty, "a server is trusted that sends progress too early")
		s.ordered++
	}
	for _, w := range s.mux.active {
		if w.early {
			s.adopted++
		}
	}
}

// connect does what the link does: it reports a break to the mux, or opens the next stream.
func (s *sim) connect() {
	switch {
	case s.broken != nil:
		err := s.broken
		s.open, s.broken, s.server.stream = false, nil, nil
		redial, _ := s.mux.Broken(err)
		require.Equal(s.t, !s.ended, redial)
	case !s.open:
		s.mux.Opened(func(reqs ...*pb.WatchRequest) {
			s.server.open(reqs)
			s.open = true
		})
	}
}

func (s *sim) serve(do func()) {
	if s.open {
		do()
	}
}

func (s *sim) deliver() {
	if !s.open || s.broken != nil || len(s.server.stream.network) == 0 {
		return
	}
	resp := s.server.stream.network[0]
	s.server.stream.network = s.server.stream.network[1:]
	s.mux.Received(resp)
}

func (s *sim) pick(do func(*simSink)) {
	if len(s.sinks) > 0 {
		do(s.sinks[s.rand.IntN(len(s.sinks))])
	}
}

// watch adds a watch from now, from the past, or from the future.
func (s *sim) watch() {
	k := &simSink{sim: s, id: len(s.sinks), key: []string{"a", "b", "e", "*",
		"denied"}[s.rand.IntN(5)]}
	if s.rand.IntN(2) == 0 {
		k.next = max(1, s.server.rev()-5+s.rand.Int64N(10))
	}
	template := &pb.WatchCreateRequest{Key: []byte(k.key), StartRevision: k.next,
		Fragment: s.rand.IntN(2) == 0}
	k.watcher.MergeBytes = 3 * s.rand.IntN(3)
	if s.mux.Add(&k.watcher, template, k) {
		s.sinks = append(s.sinks, k)
	}
}

// finish checks that each watch that has not ended has received all events.
func (s *sim) finish() {
	for _, k := range s.sinks {
		if !k.ended {
			require.Positive(s.t, k.next, "watch %d of %q was never confirmed", k.id, k.key)
			require.Empty(s.t, k.missing(s.server.rev()), "watch %d of %q misses revisions", k.id,
				k.key)
		}
	}
}

// simSink is the consumer of one watch. It compares the events that it gets with the server's.
type simSink struct {
	sim     *sim
	watcher Watcher
	id      int
	key     string
	// the first revision whose events have not been delivered; 0 if it is not known yet
	next  int64
	seen  int64 // the revision of the last event
	full  bool
	ended bool
}

// missing returns the revisions from k.next to last that have events for the watch.
func (k *simSink) missing(last int64) (revs []int64) {
	for rev := k.next; rev <= min(last, k.sim.server.rev()); rev++ {
		if len(k.sim.server.eventsOf(k.key, rev)) > 0 {
			revs = append(revs, rev)
		}
	}
	return revs
}

func (k *simSink) Created(h *pb.ResponseHeader) {
	require.False(k.sim.t, k.ended)
	if k.next == 0 {
		k.next = h.Revision + 1
	}
}

func (k *simSink) Deliver(h *pb.ResponseHeader, events []*mvccpb.Event) bool {
	t, name := k.sim.t, fmt.Sprintf("watch %d of %q", k.id, k.key)
	require.False(t, k.ended, "%s has ended", name)
	if len(events) == 0 && !k.sim.server.hasty {
		require.Empty(t, k.missing(h.Revision), "%s is told of progress to %d", name, h.Revision)
	}
	for len(events) > 0 {
		rev := events[0].Kv.ModRevision
		n := 0
		for n < len(events) && events[n].Kv.ModRevision == rev {
			n++
		}
		require.Greater(t, rev, k.seen, "%s sees a revision again", name)
		want := k.sim.server.eventsOf(k.key, rev)
		require.True(t, slices.EqualFunc(want, events[:n], func(a, b *mvccpb.Event) bool {
			return string(a.Kv.Key) == string(b.Kv.Key)
		}),
			"%s sees revision %d as %v, not %v", name, rev, events[:n], want)
		require.Empty(t, k.missing(rev-1), "%s sees revision %d before others", name, rev)
		k.seen, k.next = rev, rev+1
		events = events[n:]
	}
	k.full = !k.sim.server.calm && (k.full || k.sim.rand.IntN(6) == 0)
	return k.full
}

func (k *simSink) Done(f Final) {
	require.False(k.sim.t, k.ended, "watch %d ends twice", k.id)
	if f.Err != nil {
		require.True(k.sim.t, classify.IsOverLimit(f.Err))
	} else if f.CompactRevision == 0 {
		require.Equal(k.sim.t, "denied "+k.key, f.Reason, "watch %d", k.id)
	}
	k.ended = true
}
