package keepalive

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// history runs a random sequence of events on the leases of a [sim].
type history struct {
	*sim
	rng    *rand.Rand
	subs   []*Subscriber
	probes []*probe
}

func (h *history) step() {
	id := h.rng.Int64N(8)
	switch h.rng.IntN(12) {
	case 0, 1, 2:
		sub, p := h.keep(id, h.rng.IntN(2) == 0)
		h.subs, h.probes = append(h.subs, sub), append(h.probes, p)
	case 3, 4:
		if len(h.subs) > 0 {
			h.leave(h.subs[h.rng.IntN(len(h.subs))], errLeft)
		}
	case 5:
		h.cut()
	case 6:
		h.connect()
	case 7:
		h.grant(h.rng.Int64N(30) - 1)
	case 8:
		h.mute()
	case 9:
		h.remove(id, errLeft)
	case 10:
		h.leaderLost(errLeader)
	case 11:
		h.removeOldest(errLeft)
	}
	h.wait(time.Duration(h.rng.Int64N(int64(3 * time.Second))))
	h.check()
}

// check looks at the sinks, too: each was closed once, or is still subscribed.
func (h *history) check() {
	h.sim.check()
	for i, p := range h.probes {
		closed := 1
		if h.subs[i].entry != nil {
			closed = 0
		}
		require.Len(h.tb, p.closed, closed)
	}
}

// TestAnySequenceKeepsTheInvariants runs random histories, one seed each.
func TestAnySequenceKeepsTheInvariants(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := &history{sim: newSim(t), rng: rand.New(rand.NewPCG(seed, 0))}
			for range 300 {
				h.step()
			}
		})
	}
}
