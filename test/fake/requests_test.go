package fake_test

import (
	"math"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func (g *generator) put() *pb.PutRequest {
	req := &pb.PutRequest{Key: g.key(), PrevKv: g.chance(40), IgnoreValue: g.chance(6),
		IgnoreLease: g.chance(6)}
	if !req.IgnoreValue || g.chance(10) {
		req.Value = g.value()
	}
	if !req.IgnoreLease && g.chance(30) || g.chance(1) {
		req.Lease = g.leaseID()
	}
	return req
}

func (g *generator) revision() int64 {
	switch g.rnd.IntN(20) {
	case 0:
		return g.rev + 1 + int64(g.rnd.IntN(3))
	case 1:
		return -int64(g.rnd.IntN(3))
	case 2:
		return g.compacted - int64(g.rnd.IntN(2))
	}
	return max(g.rev-int64(g.rnd.IntN(40)), 0)
}

func (g *generator) get() *pb.RangeRequest {
	key, end := g.interval()
	req := &pb.RangeRequest{Key: key, RangeEnd: end, KeysOnly: g.chance(15),
		CountOnly: g.chance(10), Serializable: g.chance(30)}
	if g.chance(40) {
		req.Limit = pick[int64](g, 1, 2, 3, 4, -1, math.MaxInt64)
	}
	if g.chance(40) {
		req.Revision = g.revision()
	}
	if g.chance(50) {
		req.SortTarget = pb.RangeRequest_SortTarget(g.rnd.IntN(5))
		req.SortOrder = pb.RangeRequest_SortOrder(g.rnd.IntN(3))
	}
	if g.chance(1) {
		req.SortOrder = 7
	}
	if g.chance(1) {
		req.SortTarget = 9
	}
	if g.chance(8) {
		req.MinModRevision = g.rev - int64(g.rnd.IntN(30))
	}
	if g.chance(8) {
		req.MaxModRevision = g.rev - int64(g.rnd.IntN(30))
	}
	if g.chance(8) {
		req.MinCreateRevision = g.rev - int64(g.rnd.IntN(30))
	}
	if g.chance(8) {
		req.MaxCreateRevision = g.rev - int64(g.rnd.IntN(30))
	}
	return req
}

// getStream returns a request for RangeStream. Most have only fields that RangeStream accepts.
func (g *generator) getStream() *pb.RangeRequest {
	req := g.get()
	if g.chance(90) {
		return &pb.RangeRequest{Key: req.Key, RangeEnd: req.RangeEnd, Limit: req.Limit,
			Revision: req.Revision, KeysOnly: req.KeysOnly, CountOnly: req.CountOnly,
			Serializable: req.Serializable}
	}
	return req
}

func (g *generator) del() *pb.DeleteRangeRequest {
	key, end := g.interval()
	return &pb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: g.chance(50)}
}

// txn makes a transaction. Every tenth reads only, and a few have more operations than allowed.
func (g *generator) txn(depth int) *pb.TxnRequest {
	req := new(pb.TxnRequest)
	most := pick(g, 2, 2, 3, 3, 4)
	if g.chance(1) {
		most = 140
	}
	for range g.rnd.IntN(3) {
		req.Compare = append(req.Compare, g.compare())
	}
	reads := g.chance(10)
	for range g.rnd.IntN(most) {
		req.Success = append(req.Success, g.op(depth, reads))
	}
	for range g.rnd.IntN(most) {
		req.Failure = append(req.Failure, g.op(depth, reads))
	}
	return req
}

func (g *generator) txnStep() {
	req := g.txn(3)
	resp, err := g.call(pb.KV_Txn_FullMethodName, req, new(pb.TxnResponse))
	if err == nil && deletesToTheEnd(req) {
		g.fatal[resp.(*pb.TxnResponse).Header.Revision] = true
	}
}

// deletesToTheEnd reports whether a transaction has a deletion without an upper bound. etcd does
// not refuse such a transaction if it also puts a deleted key.
func deletesToTheEnd(req *pb.TxnRequest) bool {
	ops := slices.Concat(req.Success, req.Failure)
	return slices.ContainsFunc(ops, func(op *pb.RequestOp) bool {
		if nested := op.GetRequestTxn(); nested != nil {
			return deletesToTheEnd(nested)
		}
		return string(op.GetRequestDeleteRange().GetRangeEnd()) == "\x00"
	})
}

func (g *generator) compare() *pb.Compare {
	key, end := g.interval()
	c := &pb.Compare{Key: key, Result: pb.Compare_CompareResult(g.rnd.IntN(4)),
		Target: pb.Compare_CompareTarget(g.rnd.IntN(5))}
	if g.chance(20) {
		c.RangeEnd = end
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: int64(g.rnd.IntN(3))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.rev - int64(g.rnd.IntN(20))}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.rev - int64(g.rnd.IntN(10))}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: int64(g.rnd.IntN(3))}
	}
	if g.chance(3) {
		c.TargetUnion = nil
	}
	return c
}

func (g *generator) op(depth int, reads bool) *pb.RequestOp {
	n := g.rnd.IntN(100)
	switch {
	case reads || n < 30:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.get()}}
	case n < 65:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.txnPut()}}
	case n < 66:
		return &pb.RequestOp{}
	case n < 80 || depth == 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: g.del()}}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}}
}

// txnPut returns a put for a transaction. The put never has IgnoreValue, and has IgnoreLease only
// for a key that never exists: etcd crashes on these flags if the transaction has deleted the key
// before.
func (g *generator) txnPut() *pb.PutRequest {
	req := g.put()
	if req.IgnoreLease || req.IgnoreValue {
		req.IgnoreLease, req.IgnoreValue = g.chance(1), false
	}
	if req.IgnoreLease {
		req.Key, req.Lease = []byte("unknown"), 0
	}
	return req
}

func (g *generator) leaseStep() {
	switch n := g.rnd.IntN(100); {
	case n < 40:
		g.grant()
	case n < 55:
		g.call(pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: g.leaseID()},
			new(pb.LeaseRevokeResponse))
	case n < 75:
		g.call(pb.Lease_LeaseTimeToLive_FullMethodName,
			&pb.LeaseTimeToLiveRequest{ID: g.leaseID(), Keys: g.chance(60)},
			new(pb.LeaseTimeToLiveResponse))
	case n < 85:
		g.call(pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{},
			new(pb.LeaseLeasesResponse))
	default:
		g.p.stream(g.user(), pb.Lease_LeaseKeepAlive_FullMethodName,
			&pb.LeaseKeepAliveRequest{ID: g.leaseID()}, new(pb.LeaseKeepAliveResponse), true)
	}
}

func (g *generator) grant() {
	req := &pb.LeaseGrantRequest{ID: int64(1 + g.rnd.IntN(5)),
		TTL: pick[int64](g, 3600, 7200, 100_000, 9_000_000_000, 9_000_000_001, math.MaxInt64)}
	if g.ownIDs && g.chance(50) {
		req.ID = 0
	}
	resp, err := g.call(pb.Lease_LeaseGrant_FullMethodName, req, new(pb.LeaseGrantResponse))
	if err == nil && req.ID == 0 {
		g.leases = append(g.leases, resp.(*pb.LeaseGrantResponse).ID)
	}
}

// watchStep starts or ends watches. It waits until all events have arrived before the next request:
// otherwise the two servers could handle that request after different events.
func (g *generator) watchStep() {
	w := g.p.watches
	switch n := g.rnd.IntN(100); {
	case n < 55:
		w.next++
		key, end := g.interval()
		req := &pb.WatchCreateRequest{Key: key, RangeEnd: end, PrevKv: g.chance(50),
			Fragment: g.chance(20), ProgressNotify: g.chance(20), WatchId: w.next}
		switch g.rnd.IntN(4) {
		case 0:
			req.StartRevision = g.revision()
		case 1:
			req.StartRevision = max(0, g.rev-int64(g.rnd.IntN(20)))
		}
		for range g.rnd.IntN(10) / 8 {
			req.Filters = append(req.Filters,
				pb.WatchCreateRequest_FilterType(g.rnd.IntN(2)))
		}
		if g.chance(10) {
			req.WatchId = pick(g, 0, 0, w.next-1, 1)
		}
		w.create(req)
	case n < 80:
		w.same()
		w.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
			CancelRequest: &pb.WatchCancelRequest{WatchId: g.rnd.Int64N(w.next + 2)}}})
		w.mark()
	case n < 95:
		w.same()
		w.progress()
	default:
		w.same()
		w.open(g.user())
	}
	w.same()
}
