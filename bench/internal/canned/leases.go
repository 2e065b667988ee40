package canned

import (
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// leases has the TTL of each lease, in seconds. Leases do not expire.
type leases struct {
	mu     sync.Mutex
	ttls   map[int64]int64
	lastID int64
}

func (l *leases) add(id, ttl int64) (int64, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == 0 {
		l.lastID++
		id = l.lastID + 1<<40
	}
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if l.ttls == nil {
		l.ttls = map[int64]int64{}
	}
	l.ttls[id] = ttl
	return id, ttl
}

func (l *leases) ttl(id int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.ttls[id], DefaultTTL)
}

func (l *leases) grant(stream grpc.ServerStream) error {
	var req pb.LeaseGrantRequest
	if err := receive(stream, &req); err != nil {
		return err
	}
	id, ttl := l.add(req.ID, req.TTL)
	answer := marshal(&pb.LeaseGrantResponse{Header: header(), ID: id, TTL: ttl})
	return stream.SendMsg(&answer)
}

func (l *leases) keepAlive(stream grpc.ServerStream) error {
	for {
		var req pb.LeaseKeepAliveRequest
		if err := receive(stream, &req); err != nil {
			return err
		}
		answer := marshal(&pb.LeaseKeepAliveResponse{Header: header(), ID: req.ID,
			TTL: l.ttl(req.ID)})
		if err := stream.SendMsg(&answer); err != nil {
			return err
		}
	}
}
