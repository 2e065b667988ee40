package clientv3

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"go.etcd.io/etcd/client/v3/internal/retry"
)

// maxTakenIDs is how many ids one Grant may find in use by other leases.
const maxTakenIDs = 3

// Grant implements Lease.
func (l *lessor) Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error) {
	grant := l.grantOnce
	if l.choosesIDs {
		grant = l.grantRepeatedly
	}
	resp, err := grant(ctx, ttl)
	if err != nil {
		return nil, toErr(ctx, err)
	}
	return &LeaseGrantResponse{
		ResponseHeader: resp.GetHeader(),
		ID:             LeaseID(resp.GetID()),
		TTL:            resp.GetTTL(),
		Error:          resp.GetError(),
	}, nil
}

// grantOnce leaves the id to the server, so the request must not be repeated.
func (l *lessor) grantOnce(ctx context.Context, ttl int64) (*pb.LeaseGrantResponse, error) {
	return l.remote.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: ttl})
}

// grantRepeatedly chooses the id. A server grants an id once, so the request may be
// repeated like a read; if an earlier one was applied and its answer lost, the server
// refuses the id, and says what it has granted when asked for the TTL.
func (l *lessor) grantRepeatedly(ctx context.Context, ttl int64) (*pb.LeaseGrantResponse, error) {
	req, mark := &pb.LeaseGrantRequest{ID: newLeaseID(), TTL: ttl}, new(retry.Idempotent)
	taken := 0
	for attempt := 0; ; attempt++ {
		resp, err := l.remote.LeaseGrant(mark.With(ctx), req)
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseExist) {
			return resp, err
		}
		if mark.SentOnce() { // the id is another lease's
			if taken++; taken >= maxTakenIDs {
				return nil, err
			}
			req, mark = &pb.LeaseGrantRequest{ID: newLeaseID(), TTL: ttl}, new(retry.Idempotent)
			continue
		}
		if resp, err := l.granted(ctx, req.ID); resp != nil || err != nil {
			return resp, err
		}
		if uint(attempt)+1 >= l.maxAttempts {
			return nil, err
		}
		if err := l.wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// granted is the answer to the grant of a lease that exists. It is nil if the lease has
// expired, or is about to.
func (l *lessor) granted(ctx context.Context, id int64) (*pb.LeaseGrantResponse, error) {
	left, err := l.remote.LeaseTimeToLive(origin.Client(ctx), &pb.LeaseTimeToLiveRequest{ID: id})
	if err != nil || left.GetTTL() <= 0 {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: left.GetHeader(), ID: id, TTL: left.GetGrantedTTL()}, nil
}

// wait spaces the attempts of one call. It ends early with ctx and with the lessor.
func (l *lessor) wait(ctx context.Context, attempt int) error {
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	if err := backoff.Wait(both, onceBackoff.Delay(attempt)); err != nil {
		return l.endErr(ctx, err)
	}
	return nil
}

// newLeaseID returns a random id between 1 and the largest int64, as servers choose.
func newLeaseID() int64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if id := int64(binary.BigEndian.Uint64(b[:]) & math.MaxInt64); id != 0 {
			return id
		}
	}
}
