package balancer

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
)

// A member that said or answered nothing for so long that its connection was closed
// may be far behind its peers when it is back, as one that was stopped is. Until it
// has caught up it refuses proposals, and a write that is refused so has failed. So
// a member that is behind gets no requests but those that can move, as long as
// others take the rest. It has caught up soon after it has answered a range, which,
// if linearizable, waits for nearly that: one that got a snapshot refuses until it
// has applied another entry. Where nobody asks for a range, time must do.
const (
	behindFor  = maxSpacing + time.Second
	behindRest = 500 * time.Millisecond // of it, once a range is answered
)

// fallBehind takes the member to be behind.
func (m *Member) fallBehind(now time.Time) { m.behind.Store(clock(now.Add(behindFor))) }

// caughtUp tells whether the member is not behind any more.
func (m *Member) caughtUp() bool {
	until := m.behind.Load()
	return until == 0 || clock(time.Now()) >= until && m.behind.CompareAndSwap(until, 0)
}

// proof is done for a request to a member that is behind: the answer may show that
// the member is not for long.
func (m *Member) proof(method string, done func(balancer.DoneInfo)) func(balancer.DoneInfo) {
	if method != pb.KV_Range_FullMethodName {
		return done
	}
	return func(info balancer.DoneInfo) {
		if info.Err == nil {
			until, rest := m.behind.Load(), clock(time.Now().Add(behindRest))
			if until > rest {
				m.behind.CompareAndSwap(until, rest)
			}
		}
		done(info)
	}
}

// isBehind tells the refusal of a member that has much to apply yet.
func isBehind(err error) bool {
	return err != nil && rpctypes.Error(err) == rpctypes.ErrTooManyRequests
}
