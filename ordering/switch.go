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

// ErrNoGreaterRev is returned where no member can be found whose data are as new as
// what was read before.
var ErrNoGreaterRev = errors.New("etcdclient: no cluster members have a revision higher than the previously received revision")

const (
	maxViolations = 5           // of one request, before it is given up
	askTimeout    = time.Second // for all endpoints to tell their revisions
	switchedFor   = 10 * time.Second
)

// NewOrderViolationSwitchEndpointClosure returns a function that asks all endpoints of
// c for their revisions and has c use only those that are not behind, for the next ten
// seconds. Endpoints that are set in the meantime stay.
//
// The sixth violation of one request gives [ErrNoGreaterRev]. Each call waits up to a
// second for the answers of the endpoints.
func NewOrderViolationSwitchEndpointClosure(c *clientv3.Client) OrderViolationFunc {
	s := &switcher{client: c, lasts: switchedFor}
	return s.violated
}

// switcher keeps a client off the endpoints that are behind.
type switcher struct {
	// read-only
	client *clientv3.Client
	lasts  time.Duration // how long a switch does

	// guarded by mu
	mu      sync.Mutex
	full    []string    // the client's endpoints before the switch
	ahead   []string    // what they were switched to; nil while they are not
	restore *time.Timer // ends the switch; nil before the first
	unnamed int         // violations that came without their number
}

func (s *switcher) violated(op clientv3.Op, _ clientv3.OpResponse, prevRev int64) error {
	if s.number(op) > maxViolations {
		return ErrNoGreaterRev
	}
	s.switchTo(s.notBehind(s.candidates(), prevRev))
	return nil
}

// number returns which violation of its request this is. It counts those that do not
// come from a KV of this package, since it cannot tell the requests apart.
func (s *switcher) number(op clientv3.Op) int {
	if n := numberOf(op); n > 0 {
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unnamed = s.unnamed%(maxViolations+1) + 1
	return s.unnamed
}

// candidates returns all endpoints that may have newer data.
func (s *switcher) candidates() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownLocked()
}

// ownLocked returns the endpoints that the client has, or had before the switch.
func (s *switcher) ownLocked() []string {
	now := s.client.Endpoints()
	if s.ahead != nil && slices.Equal(now, s.ahead) {
		return slices.Clone(s.full)
	}
	s.ahead = nil // somebody else has set new ones
	return now
}

// notBehind returns those of eps that have reached the revision rev.
func (s *switcher) notBehind(eps []string, rev int64) []string {
	ctx, cancel := context.WithTimeout(s.client.Ctx(), askTimeout)
	defer cancel()
	revs := make([]int64, len(eps))
	var asking sync.WaitGroup
	for i, ep := range eps {
		// Ends with ctx; Wait below waits for it.
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

// revision asks one endpoint for its revision; it is 0 where there is no answer.
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

// switchTo makes the client use the endpoints in ahead, and its own if there are none.
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

// switchBack ends the switch.
func (s *switcher) switchBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.ownLocked(); s.ahead != nil {
		s.client.SetEndpoints(own...)
		s.ahead = nil
	}
}

// numbered returns op as an OrderViolationFunc gets it, with the number of violations
// that the request has had: in the value, which neither a get nor a transaction has
// another use for. So the count is that of a request, not of the client's whole life,
// however many requests there are at once, and whatever wraps the function.
func numbered(op clientv3.Op, violations int) clientv3.Op {
	op.WithValueBytes(binary.AppendUvarint(nil, uint64(violations)))
	return op
}

// numberOf is the inverse of numbered; 0 where there is no number.
func numberOf(op clientv3.Op) int {
	n, _ := binary.Uvarint(op.ValueBytes())
	return int(n)
}
