package store

import (
	"bytes"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// span is the interval of keys [start, end). An empty end means that the interval has no upper
// bound.
type span struct{ start, end []byte }

// below reports whether the key a is below the key b. Here "" stands for the end of an interval
// that has no upper bound. This end is above every key.
func below(a, b []byte) bool {
	switch {
	case len(a) == 0:
		return false
	case len(b) == 0:
		return true
	}
	return bytes.Compare(a, b) < 0
}

func validPermission(p *authpb.Permission) bool {
	if len(p.Key) == 0 {
		return false
	}
	return len(p.RangeEnd) == 0 || openEnd(p.RangeEnd) || bytes.Compare(p.Key, p.RangeEnd) < 0
}

// spanOf returns the interval of keys to which a request or a permission with this key and this
// range end applies.
func spanOf(key, end []byte) span {
	switch {
	case len(end) == 0:
		return span{key, append(bytes.Clone(key), 0)}
	case openEnd(end):
		return span{key, nil}
	}
	return span{key, end}
}

func (a *authTable) mayRead(who *identity, key, end []byte) error {
	return a.may(who, key, end, authpb.Permission_READ)
}

func (a *authTable) mayWrite(who *identity, key, end []byte) error {
	return a.may(who, key, end, authpb.Permission_WRITE)
}

func (a *authTable) may(who *identity, key, end []byte, need authpb.Permission_Type) error {
	if !a.enabled {
		return nil
	}
	if who == nil {
		return rpctypes.ErrGRPCUserEmpty
	}
	u := a.users[who.name]
	if u == nil {
		return rpctypes.ErrGRPCPermissionDenied
	}
	if slices.Contains(u.roles, root) || covers(a.spans(u, need), spanOf(key, end)) {
		return nil
	}
	return rpctypes.ErrGRPCPermissionDenied
}

// spans returns the spans of keys that a user's roles permit to read or to write, sorted by start.
// The parameter need is READ or WRITE.
func (a *authTable) spans(u *user, need authpb.Permission_Type) []span {
	var spans []span
	for _, name := range u.roles {
		for _, p := range a.roles[name].GetKeyPermission() {
			if p.PermType == need || p.PermType == authpb.Permission_READWRITE {
				spans = append(spans, spanOf(p.Key, p.RangeEnd))
			}
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.start, b.start) })
	return spans
}

// covers reports whether the spans together contain every key of the wanted span. The spans must be
// sorted by start. If the wanted span ends before it starts, only its start has to be covered.
func covers(spans []span, want span) bool {
	at, covered := want.start, false
	for _, s := range spans {
		if bytes.Compare(s.start, at) > 0 {
			break
		}
		if below(at, s.end) {
			covered, at = true, s.end
		}
		if covered && !below(at, want.end) {
			return true
		}
		if covered && len(at) == 0 {
			return true
		}
	}
	return false
}

// mayPut checks the permissions that a put needs: for its key, for the keys that are attached to
// its lease, and for the previous value if the request asks for it.
func (s *Store) mayPut(who *identity, req *pb.PutRequest) error {
	if err := s.auth.mayWrite(who, req.Key, nil); err != nil {
		return err
	}
	if err := s.mayWriteLease(who, req.Lease); err != nil {
		return err
	}
	if req.PrevKv {
		return s.auth.mayRead(who, req.Key, nil)
	}
	return nil
}

// mayWriteLease returns an error if the user may not write one of the keys that are attached to the
// lease.
func (s *Store) mayWriteLease(who *identity, id int64) error {
	l := s.leases.byID[id]
	if l == nil || s.auth.isAdmin(who) == nil {
		return nil
	}
	for _, key := range l.sortedKeys() {
		if err := s.auth.mayWrite(who, []byte(key), nil); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) mayRenew(c Caller, id int64) error {
	if err := s.requireIdentity(c); err != nil {
		return err
	}
	who, err := s.identify(c)
	if err != nil {
		return err
	}
	return s.mayWriteLease(who, id)
}

// mayReadLeases returns an error if the user may not read one of the keys that are attached to the
// leases.
func (s *Store) mayReadLeases(c Caller, ids ...int64) error {
	if err := s.requireIdentity(c); err != nil {
		return err
	}
	who, err := s.identify(c)
	if err != nil || s.auth.isAdmin(who) == nil {
		return err
	}
	for _, id := range ids {
		l := s.leases.byID[id]
		if l == nil {
			continue
		}
		for _, key := range l.sortedKeys() {
			if err := s.auth.mayRead(who, []byte(key), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayTxn checks the permissions for the comparisons of a transaction and for the operations of both
// of its branches.
func (s *Store) mayTxn(who *identity, req *pb.TxnRequest) error {
	if !s.auth.enabled {
		return nil
	}
	for _, c := range req.Compare {
		if err := s.auth.mayRead(who, c.Key, c.RangeEnd); err != nil {
			return err
		}
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			if err := s.mayOp(who, op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) mayOp(who *identity, op *pb.RequestOp) error {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return s.auth.mayRead(who, r.RequestRange.Key, r.RequestRange.RangeEnd)
	case *pb.RequestOp_RequestPut:
		return s.mayPut(who, r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		del := r.RequestDeleteRange
		if del.PrevKv {
			if err := s.auth.mayRead(who, del.Key, del.RangeEnd); err != nil {
				return err
			}
		}
		return s.auth.mayWrite(who, del.Key, del.RangeEnd)
	case *pb.RequestOp_RequestTxn:
		return s.mayTxn(who, r.RequestTxn)
	}
	return nil
}
