package fake_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// setting reads a number from an environment variable. It returns the parameter standard if the
// variable is empty.
func setting(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// TestSameHistoriesAsEtcd sends random histories of every method and option to a real server and to
// the fake. ETCDFAKE_HISTORIES is the number of histories, ETCDFAKE_STEPS is the number of steps in
// each, and ETCDFAKE_SEED is the seed of the first.
func TestSameHistoriesAsEtcd(t *testing.T) {
	histories, steps := setting(t, "ETCDFAKE_HISTORIES", 6), setting(t, "ETCDFAKE_STEPS", 500)
	first := setting(t, "ETCDFAKE_SEED", int(time.Now().UnixNano()%1_000_000))
	for i := range histories {
		seed := uint64(first + i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runHistory(t, seed, steps) })
	}
}

func runHistory(t *testing.T, seed uint64, steps int) {
	p := newPair(t)
	g := &generator{p: p, rnd: rand.New(rand.NewPCG(seed, seed)), rev: 1, users: []string{""},
		fatal:  make(map[int64]bool),
		ownIDs: seed%3 == 0}
	if seed%2 == 0 {
		g.withUsers()
	}
	for i := range steps {
		p.about = fmt.Sprintf("seed %d, step %d:", seed, i)
		g.step()
	}
	p.watches.same()
	assert.Greater(t, g.rev, int64(steps/20), "the requests must not all have failed")
}

// generator makes random requests. It uses few keys, leases and users, so that many requests
// concern the same ones.
type generator struct {
	p              *pair
	rnd            *rand.Rand
	rev, compacted int64
	users          []string // requests are sent as these users; "" sends no token
	ownIDs         bool     // some leases get an ID that the server chooses
	leases         []int64  // the IDs that the fake has chosen for leases
	learners       []uint64
	ports          int // how many peer URLs were made
	// fatal has the revisions of transactions that may have deleted a key and then put it. Such a
	// revision must not be compacted: etcd would crash when it reads the key afterwards.
	fatal map[int64]bool
}

func (g *generator) chance(percent int) bool { return g.rnd.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.rnd.IntN(len(from))] }

func (g *generator) user() string { return pick(g, g.users...) }

// call sends a request of a random user to both servers.
func (g *generator) call(method string, req, resp proto.Message) (proto.Message, error) {
	g.p.t.Helper()
	return g.callAs(g.user(), method, req, resp)
}

func (g *generator) callAs(
	user, method string, req, resp proto.Message,
) (proto.Message, error) {
	g.p.t.Helper()
	got, err := g.p.call(user, method, req, resp)
	if r, ok := got.(interface{ GetHeader() *pb.ResponseHeader }); ok && err == nil {
		g.rev = max(g.rev, r.GetHeader().GetRevision())
	}
	return got, err
}

func (g *generator) step() {
	switch n := g.rnd.IntN(1000); {
	case n < 280:
		g.call(pb.KV_Put_FullMethodName, g.put(), new(pb.PutResponse))
	case n < 440:
		g.call(pb.KV_Range_FullMethodName, g.get(), new(pb.RangeResponse))
	case n < 480:
		g.p.stream(g.user(), pb.KV_RangeStream_FullMethodName, g.getStream(),
			new(pb.RangeStreamResponse), false)
	case n < 560:
		g.call(pb.KV_DeleteRange_FullMethodName, g.del(), new(pb.DeleteRangeResponse))
	case n < 750:
		g.txnStep()
	case n < 760:
		g.compact()
	case n < 850:
		g.leaseStep()
	case n < 900:
		g.watchStep()
	case n < 940:
		g.authStep()
	case n < 960:
		g.memberStep()
	default:
		g.maintenanceStep()
	}
}

// compact compacts both servers. It first closes watches that began at a past revision: the real
// server cancels such a watch if a compaction overtakes it.
func (g *generator) compact() {
	g.p.watches.same()
	if g.p.watches.behind {
		g.p.watches.open(g.user())
	}
	req := &pb.CompactionRequest{Revision: g.rev - int64(g.rnd.IntN(60)) + 5, Physical: true}
	if g.fatal[req.Revision] {
		return
	}
	_, err := g.call(pb.KV_Compact_FullMethodName, req, new(pb.CompactionResponse))
	if err == nil {
		g.compacted = max(g.compacted, req.Revision)
	}
}

func (g *generator) key() []byte {
	if g.chance(1) {
		return nil
	}
	return []byte{byte('a' + g.rnd.IntN(6))}
}

func (g *generator) end() []byte {
	switch g.rnd.IntN(8) {
	case 0:
		return []byte{0}
	case 1, 2, 3:
		return []byte{byte('a' + g.rnd.IntN(8))}
	}
	return nil
}

// interval returns a key and a range end. The end may be less than the key, but not in a history
// with users: which users may read such a range depends on the shape of a tree in etcd.
func (g *generator) interval() (key, end []byte) {
	key, end = g.key(), g.end()
	if len(g.users) > 1 && len(end) == 1 && end[0] != 0 && bytes.Compare(key, end) >= 0 {
		end = nil
	}
	return key, end
}

func (g *generator) leaseID() int64 {
	if len(g.leases) > 0 && g.chance(50) {
		return pick(g, g.leases...)
	}
	return int64(1 + g.rnd.IntN(5))
}

func (g *generator) value() []byte { return []byte(strconv.Itoa(g.rnd.IntN(10))) }
