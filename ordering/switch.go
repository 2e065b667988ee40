package ordering

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrNoGreaterRev is the error of a request whose responses were all too old. Each had a lower
// revision than the response to an earlier request. A transaction that can write is sent only once,
// so it fails after one such response.
var ErrNoGreaterRev = errors.New(
	"etcdclient: no cluster members have a revision higher than the previously received revision")

const (
	maxViolations = 5           // a request fails if more than this many responses were too old
	askTimeout    = time.Second // limits the wait for the revisions of all endpoints
	switchedFor   = 10 * time.Second
)

// NewOrderViolationSwitchEndpointClosure returns a function that switches c to endpoints with newer
// data. Each call asks all endpoints of c for their revisions, and waits up to a second for the
// answers. For ten seconds, c is then limited to the endpoints that have reached prevRev, the
// revision that a response must have at least. If no endpoint has reached prevRev, c gets back all
// its endpoints. If the program calls SetEndpoints in the ten seconds, the program's endpoints
// stay.
//
// The function returns [ErrNoGreaterRev] when six responses to one request were too old.
func NewOrderViolationSwitchEndpointClosure(c *clientv3.Client) OrderViolationFunc {
	s := &switcher{client: c, lasts: switchedFor}
	return s.violated
}

// switcher limits a client for some time to the endpoints that have reached a given revision.
type switcher struct {
	// read-only after NewOrderViolationSwitchEndpointClosure
	client *clientv3.Client
	lasts  time.Duration // how long the client stays limited

	// guarded by mu
	mu        sync.Mutex
	full      []string    // the client's endpoints before it was limited
	ahead     []string    // the endpoints that the client is limited to; nil if it is not limited
	restore   *time.Timer // ends the limit; nil if there was no limit yet
	uncounted int         // counts the calls of violated whose op has no number; see s.number
}

func (s *switcher) violated(op clientv3.Op, _ clientv3.OpResponse, prevRev int64) error {
	if s.number(op) > maxViolations {
		return ErrNoGreaterRev
	}
	s.mu.Lock()
	all := s.ownLocked()
	s.mu.Unlock()
	s.switchTo(s.caughtUp(all, prevRev))
	return nil
}

// number returns how many responses to op's request were too old. A KV of this package stores this
// number in op. If a program calls the OrderViolationFunc itself, op has no such number, and s
// counts the calls instead. After maxViolations+1, this count starts again at 1.
func (s *switcher) number(op clientv3.Op) int {
	if n := numberOf(op); n > 0 {
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uncounted = s.uncounted%(maxViolations+1) + 1
	return s.uncounted
}

// ownLocked returns the endpoints that the program has set. While the client is limited, these are
// the endpoints that the client had before the limit. Otherwise these are the client's current
// endpoints. If the program has set new endpoints during the limit, ownLocked ends the limit.
func (s *switcher) ownLocked() []string {
	now := s.client.Endpoints()
	if s.ahead != nil && slices.Equal(now, s.ahead) {
		return slices.Clone(s.full)
	}
	s.ahead = nil // the program has set new endpoints, which ends the limit
	return now
}

// caughtUp asks the endpoints in eps for their revisions, and returns those endpoints that have
// reached the revision rev.
func (s *switcher) caughtUp(eps []string, rev int64) []string {
	ctx, cancel := context.WithTimeout(s.client.Ctx(), askTimeout)
	defer cancel()
	revs := make([]int64, len(eps))
	var asking sync.WaitGroup
	for i, ep := range eps {
		// The goroutine ends with ctx. asking.Wait below waits for it.
		asking.Go(func() { revs[i] = s.revision(ctx, ep) })
	}
	asking.Wait()
	var ahead []string
	for i, ep := range eps {
		if revs[i] >= rev {
			ahead = append(ahead, ep)
		}
	}
	return ahead
}

// revision returns the current revision of one endpoint, or 0 if the endpoint does not answer.
func (s *switcher) revision(ctx context.Context, ep string) int64 {
	conn, err := s.client.Dial(ep)
	if err != nil {
		return 0
	}
	defer conn.Close()
	resp, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return 0
	}
	return resp.GetHeader().GetRevision()
}

// switchTo limits the client to the endpoints in the parameter ahead. If ahead is empty, switchTo
// restores all of the client's endpoints.
func (s *switcher) switchTo(ahead []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.ownLocked()
	if len(ahead) == 0 {
		ahead = own
	}
	if slices.Equal(ahead, s.client.Endpoints()) {
		return
	}
	s.client.SetEndpoints(ahead...)
	s.full, s.ahead = own, ahead
	if s.restore == nil {
		s.restore = time.AfterFunc(s.lasts, s.switchBack)
	} else {
		s.restore.Reset(s.lasts)
	}
}

// switchBack restores the endpoints that the client had before it was limited. It does nothing if
// the program has set new endpoints meanwhile.
func (s *switcher) switchBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.ownLocked(); s.ahead != nil {
		s.client.SetEndpoints(own...)
		s.ahead = nil
	}
}

// numbered stores the number of violations in op, and returns op. Violations are responses to op's
// request that were too old. The number is stored in op's value, which gets and transactions do not
// use. So the OrderViolationFunc gets the right number even if requests overlap, or if the program
// wraps it in another function.
func numbered(op clientv3.Op, violations int) clientv3.Op {
	op.WithValueBytes(binary.AppendUvarint(nil, uint64(violations)))
	return op
}

// numberOf returns the number that the function numbered has stored in op, or 0 if op has none.
func numberOf(op clientv3.Op) int {
	n, _ := binary.Uvarint(op.ValueBytes())
	return int(n)
}
