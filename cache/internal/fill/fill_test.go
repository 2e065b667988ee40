package fill

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// history is a store that remembers the state at each revision and the events of each.
type history struct {
	rng    *rand.Rand
	states []map[string]*mvccpb.KeyValue // by revision
	events [][]*mvccpb.Event             // by revision
}

func (h *history) revision() int64 { return int64(len(h.states) - 1) }

// write makes the next revision: a transaction of some puts and deletions.
func (h *history) write(keys int) {
	rev := int64(len(h.states))
	state, events := map[string]*mvccpb.KeyValue{}, []*mvccpb.Event(nil)
	if rev > 0 {
		maps.Copy(state, h.states[rev-1])
	}
	for range 1 + h.rng.IntN(3) {
		key := fmt.Sprintf("k%02d", h.rng.IntN(keys))
		if slices.ContainsFunc(events, func(ev *mvccpb.Event) bool {
			return string(ev.Kv.Key) == key
		}) {
			continue
		}
		kv := &mvccpb.KeyValue{Key: []byte(key), ModRevision: rev}
		if _, ok := state[key]; ok && h.rng.IntN(2) == 0 {
			delete(state, key)
			events = append(events, &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: kv})
			continue
		}
		kv.Value = []byte(fmt.Sprint(rev))
		state[key] = kv
		events = append(events, &mvccpb.Event{Kv: kv})
	}
	h.states, h.events = append(h.states, state), append(h.events, events)
}

// page returns at most limit pairs, in the order of their keys, that the store had at a revision.
// The first key is from, or the next one after it. The result more says that further pairs follow.
func (h *history) page(from string, rev int64, limit int) (kvs []*mvccpb.KeyValue, more bool) {
	for _, key := range slices.Sorted(maps.Keys(h.states[rev])) {
		switch {
		case key < from:
		case len(kvs) == limit:
			return kvs, true
		default:
			kvs = append(kvs, h.states[rev][key])
		}
	}
	return kvs, false
}

// step makes a random write, or feeds f with some events, with a page, or with the answer to a
// read, which may prove that f lacks no change.
func (h *history) step(t *testing.T, f *Fill, keys int) {
	switch h.rng.IntN(6) {
	case 0, 1:
		h.write(keys)
	case 2, 3:
		for n := h.rng.IntN(4); n > 0 && f.Passed() < h.revision(); n-- {
			rev := f.Passed() + 1
			for _, ev := range h.events[rev] {
				f.Event(ev)
			}
			f.Pass(rev)
		}
	case 4:
		from, ok := f.Next()
		if !ok {
			h.prove(f)
			return
		}
		rev := max(0, h.revision()-int64(h.rng.IntN(10)))
		kvs, more := h.page(from, rev, 1+h.rng.IntN(5))
		require.Equal(t, rev >= f.Least(), f.Page(kvs, rev, more))
	case 5:
		h.prove(f)
	}
}

// certain returns a revision. f has every change up to it for all keys of the pages that it has.
func certain(f *Fill) int64 {
	least := f.greatest
	for _, p := range f.pages {
		least = min(least, p.watermark)
	}
	return max(least, f.passed)
}

// prove passes to f what a read of the newest revision returns: the pairs that f may lack, and the
// number of keys. If f agrees with them, it has every change up to this revision.
func (h *history) prove(f *Fill) {
	rev := h.revision()
	if f.Passed() == rev {
		return
	}
	var newer []*mvccpb.KeyValue
	for _, kv := range h.states[rev] {
		if kv.ModRevision > certain(f) {
			newer = append(newer, kv)
		}
	}
	f.Prove(newer, int64(len(h.states[rev])), rev)
}

// TestStateIsThatOfItsRevision shows that Whole returns the state that the store had at the
// returned revision. Random are the writes, the pages and their revisions, the delays of events,
// and the reads that may prove that the state lacks no change.
func TestStateIsThatOfItsRevision(t *testing.T) {
	proven := 0
	for seed := range uint64(3000) {
		h := &history{rng: rand.New(rand.NewPCG(seed, 1))}
		keys := 1 + h.rng.IntN(30)
		for range 1 + h.rng.IntN(40) {
			h.write(keys)
		}
		confirmed := max(0, h.revision()-int64(h.rng.IntN(5)))
		f := New("k", confirmed, h.rng.Int64N(h.revision()+1))
		last := confirmed
		for {
			h.step(t, f, keys)
			tree, bytes, rev, ok := f.Whole()
			if !ok {
				last = f.Passed()
				continue
			}
			if rev > last+4 {
				proven++
			}
			got, size := map[string]*mvccpb.KeyValue{}, int64(0)
			for _, kv := range tree.Slice(0, tree.Len()) {
				got[string(kv.Key)], size = kv, size+Bytes(kv)
			}
			require.Equal(t, h.states[rev], got, "seed %d, revision %d", seed, rev)
			require.Equal(t, size, bytes, "seed %d", seed)
			require.GreaterOrEqual(t, rev, f.Least())
			break
		}
	}
	require.NotZero(t, proven, "no history ended with a proof")
}
