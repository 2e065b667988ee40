package fake_test

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func leasesInTxns(p *pair) {
	for id := range int64(3) {
		p.call("", pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: id + 1, TTL: 3600},
			new(pb.LeaseGrantResponse))
	}
	show := func() {
		p.t.Helper()
		for id := range int64(4) {
			p.call("", pb.Lease_LeaseTimeToLive_FullMethodName,
				&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}, new(pb.LeaseTimeToLiveResponse))
		}
	}
	with := func(key string, lease int64) *pb.PutRequest {
		return &pb.PutRequest{Key: []byte(key), Lease: lease, PrevKv: true}
	}
	p.txn("", txnOf(with("a", 1), with("b", 1), with("c", 2)))
	show()
	p.txn("", txnOf(with("a", 2), txnOf(with("b", 0)), &pb.PutRequest{Key: []byte("c"),
		IgnoreLease: true, Value: []byte("kept")}))
	show()
	p.txn("", txnOf(&pb.DeleteRangeRequest{Key: []byte("a")}, with("d", 3), with("e", 77)))
	p.txn("", txnOf(&pb.DeleteRangeRequest{Key: []byte("a")}, with("d", 3), with("e", 3)))
	show()
	for _, result := range []int{0, 1, 2, 3} {
		for _, lease := range []int64{0, 2, 3} {
			p.txn("", &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("c"),
				RangeEnd: []byte("e"), Target: pb.Compare_LEASE,
				Result:      pb.Compare_CompareResult(result),
				TargetUnion: &pb.Compare_Lease{Lease: lease}}}})
		}
	}
	p.call("", pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: 3},
		new(pb.LeaseRevokeResponse))
	p.get("", &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	show()
}

func oddLeases(p *pair) {
	for _, req := range []*pb.LeaseGrantRequest{{ID: -1, TTL: 60}, {ID: 1, TTL: -5},
		{ID: 2, TTL: 60}, {ID: 2, TTL: 60}, {ID: 3, TTL: 9_000_000_001},
		{ID: 4, TTL: 9_000_000_000}} {
		p.call("", pb.Lease_LeaseGrant_FullMethodName, req, new(pb.LeaseGrantResponse))
	}
	for _, id := range []int64{-1, 0, 2, 4, 99} {
		p.put(&pb.PutRequest{Key: []byte("k"), Lease: id})
		p.call("", pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: id,
			Keys: true}, new(pb.LeaseTimeToLiveResponse))
		p.stream("", pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: id},
			new(pb.LeaseKeepAliveResponse), true)
		p.call("", pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: id},
			new(pb.LeaseRevokeResponse))
		p.get("", &pb.RangeRequest{Key: []byte("k")})
	}
}

func alarms(p *pair) {
	alarm := func(action pb.AlarmRequest_AlarmAction, member uint64, kind pb.AlarmType) {
		p.t.Helper()
		p.call("", pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{Action: action,
			MemberID: member, Alarm: kind}, new(pb.AlarmResponse))
	}
	p.call("", pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 3, TTL: 3600},
		new(pb.LeaseGrantResponse))
	p.put(&pb.PutRequest{Key: []byte("a"), Lease: 3})
	for _, kind := range []pb.AlarmType{0, 1, 2, 7} {
		p.about = fmt.Sprint("alarm ", kind)
		alarm(pb.AlarmRequest_ACTIVATE, 5, kind)
		alarm(pb.AlarmRequest_ACTIVATE, 5, kind)
		alarm(pb.AlarmRequest_ACTIVATE, 0, kind)
		alarm(pb.AlarmRequest_GET, 0, 0)
		alarm(pb.AlarmRequest_GET, 5, kind)
		alarm(pb.AlarmRequest_GET, 0, 1)
		p.askDuringAlarm()
		alarm(pb.AlarmRequest_DEACTIVATE, 77, kind)
		alarm(pb.AlarmRequest_DEACTIVATE, 5, kind)
		alarm(pb.AlarmRequest_DEACTIVATE, 0, kind)
		alarm(pb.AlarmRequest_DEACTIVATE, 0, kind)
		alarm(pb.AlarmRequest_GET, 0, 0)
	}
}

// askDuringAlarm sends requests of all kinds. An alarm makes servers refuse some of them.
func (p *pair) askDuringAlarm() {
	p.t.Helper()
	p.putAll("a")
	p.get("", &pb.RangeRequest{Key: []byte("a")})
	p.get("", &pb.RangeRequest{Key: []byte("a"), Serializable: true})
	p.txn("", txnOf(putOf("a")))
	p.txn("", txnOf(&pb.RangeRequest{Key: []byte("a")}))
	p.txn("", txnOf(&pb.DeleteRangeRequest{Key: []byte("z")}))
	p.call("", pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("z")},
		new(pb.DeleteRangeResponse))
	p.call("", pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 4, TTL: 3600},
		new(pb.LeaseGrantResponse))
	p.stream("", pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: 3},
		new(pb.LeaseKeepAliveResponse), true)
	p.call("", pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: 4},
		new(pb.LeaseRevokeResponse))
	p.call("", pb.Auth_UserAdd_FullMethodName, &pb.AuthUserAddRequest{Name: "u", Password: "p"},
		new(pb.AuthUserAddResponse))
	p.call("", pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{},
		new(pb.StatusResponse))
	p.compact(2)
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a")})
	p.watches.same()
}

func learners(p *pair) {
	own := uint64(0xfa4e01)
	add := func(urls ...string) uint64 {
		p.t.Helper()
		resp, err := p.call("", pb.Cluster_MemberAdd_FullMethodName,
			&pb.MemberAddRequest{PeerURLs: urls, IsLearner: true}, new(pb.MemberAddResponse))
		if err != nil {
			return 12345
		}
		return resp.(*pb.MemberAddResponse).Member.ID
	}
	id := add("http://127.0.0.1:11001", "http://127.0.0.1:11002")
	for _, urls := range [][]string{{"http://127.0.0.1:11003"}, {"http://127.0.0.1:11001"}, {},
		{"unix://x"}, {"http://127.0.0.1:11004", "http://127.0.0.1:11004"}, {"http://a.b:1"}} {
		add(urls...)
	}
	for _, id := range []uint64{own, id, 12345, 0} {
		p.call("", pb.Cluster_MemberPromote_FullMethodName, &pb.MemberPromoteRequest{ID: id},
			new(pb.MemberPromoteResponse))
		p.call("", pb.Maintenance_MoveLeader_FullMethodName, &pb.MoveLeaderRequest{TargetID: id},
			new(pb.MoveLeaderResponse))
	}
	for _, id := range []uint64{id, 12345, 0} {
		for _, url := range []string{"http://127.0.0.1:11005", "http://127.0.0.1:11001"} {
			p.call("", pb.Cluster_MemberUpdate_FullMethodName,
				&pb.MemberUpdateRequest{ID: id, PeerURLs: []string{url}},
				new(pb.MemberUpdateResponse))
		}
	}
	for _, id := range []uint64{id, id, 12345, 0, own} {
		p.call("", pb.Cluster_MemberRemove_FullMethodName, &pb.MemberRemoveRequest{ID: id},
			new(pb.MemberRemoveResponse))
		p.call("", pb.Cluster_MemberUpdate_FullMethodName,
			&pb.MemberUpdateRequest{ID: max(id, 1), PeerURLs: []string{"http://127.0.0.1:11009"}},
			new(pb.MemberUpdateResponse))
		for _, linear := range []bool{true, false} {
			p.call("", pb.Cluster_MemberList_FullMethodName,
				&pb.MemberListRequest{Linearizable: linear}, new(pb.MemberListResponse))
		}
	}
}

func hashes(p *pair) {
	p.putAll("a", "b", "a", "c", "a")
	p.call("", pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("b")},
		new(pb.DeleteRangeResponse))
	hash := func() {
		p.t.Helper()
		for _, rev := range []int64{-1, 0, 1, 2, 4, 7, 8, 99} {
			p.call("", pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{Revision: rev},
				new(pb.HashKVResponse))
		}
	}
	hash()
	p.compact(4)
	hash()
	p.compact(7)
	hash()
	for _, version := range []string{"3.6", "3.6.0", "3.7.0", "3.8.0", "3.5", "4.0.0", "", "x",
		"3"} {
		for _, action := range []pb.DowngradeRequest_DowngradeAction{pb.DowngradeRequest_VALIDATE,
			pb.DowngradeRequest_CANCEL, 5} {
			p.call("", pb.Maintenance_Downgrade_FullMethodName,
				&pb.DowngradeRequest{Action: action, Version: version}, new(pb.DowngradeResponse))
		}
		p.call("", pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{},
			new(pb.StatusResponse))
	}
	p.call("", pb.Maintenance_Defragment_FullMethodName, &pb.DefragmentRequest{},
		new(pb.DefragmentResponse))
	hash()
}
