package store

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// maxTxnOps is the largest length of each list of a transaction. The lists are the comparisons, the
// success operations and the failure operations. For a nested transaction, the length of the
// longest list of the transaction around it is subtracted.
const maxTxnOps = 128

// checkTxn returns an error if a transaction is malformed. The error does not depend on the keys in
// the store.
func checkTxn(req *pb.TxnRequest) error {
	if err := checkTxnForm(req, maxTxnOps); err != nil {
		return err
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		if _, err := branchWrites(ops); err != nil {
			return err
		}
	}
	return nil
}

func checkTxnForm(req *pb.TxnRequest, maxOps int) error {
	used := max(len(req.GetCompare()), len(req.GetSuccess()), len(req.GetFailure()))
	if used > maxOps {
		return rpctypes.ErrGRPCTooManyOps
	}
	for _, c := range req.GetCompare() {
		if len(c.Key) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, ops := range [][]*pb.RequestOp{req.GetSuccess(), req.GetFailure()} {
		for _, op := range ops {
			if err := checkOpForm(op, maxOps-used); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOpForm(op *pb.RequestOp, maxOps int) error {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return checkRangeRequest(r.RequestRange)
	case *pb.RequestOp_RequestPut:
		return checkPutRequest(r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return checkDeleteRequest(r.RequestDeleteRange)
	case *pb.RequestOp_RequestTxn:
		return checkTxnForm(r.RequestTxn, maxOps)
	}
	return rpctypes.ErrGRPCKeyNotFound
}

// writes is the set of puts and deletes in a branch of a transaction and in its nested
// transactions.
type writes struct {
	puts map[string]bool
	dels []*pb.DeleteRangeRequest
}

func (w *writes) put(key string) error {
	if w.puts[key] || w.deletes(key) {
		return rpctypes.ErrGRPCDuplicateKey
	}
	w.puts[key] = true
	return nil
}

// deletes reports whether one of w.dels covers the key. As in etcd, a delete with the range end
// "\x00" covers no key here, although it deletes all keys from its first key on.
func (w *writes) deletes(key string) bool {
	for _, del := range w.dels {
		switch {
		case len(del.RangeEnd) == 0:
			if key == string(del.Key) {
				return true
			}
		case key >= string(del.Key) && bytes.Compare([]byte(key), del.RangeEnd) < 0:
			return true
		}
	}
	return false
}

// branchWrites returns the puts and deletes of a branch. It returns ErrGRPCDuplicateKey if the
// branch puts a key twice, or puts a key that it also deletes.
//
// As in etcd, the branch's own deletes are checked first, then the nested transactions, then the
// branch's own puts. A put is compared with the puts and deletes that were checked before it.
func branchWrites(ops []*pb.RequestOp) (*writes, error) {
	w := &writes{puts: make(map[string]bool)}
	for _, op := range ops {
		if del := op.GetRequestDeleteRange(); del != nil {
			w.dels = append(w.dels, del)
		}
	}
	for _, op := range ops {
		if nested := op.GetRequestTxn(); nested != nil {
			if err := w.addTxn(nested); err != nil {
				return nil, err
			}
		}
	}
	for _, op := range ops {
		if put := op.GetRequestPut(); put != nil {
			if err := w.put(string(put.Key)); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// addTxn adds the writes of a nested transaction. The two branches of the nested transaction may
// put the same key, because only one of the branches runs.
func (w *writes) addTxn(req *pb.TxnRequest) error {
	success, err := branchWrites(req.Success)
	if err != nil {
		return err
	}
	failure, err := branchWrites(req.Failure)
	if err != nil {
		return err
	}
	for key := range success.puts {
		if err := w.put(key); err != nil {
			return err
		}
	}
	for key := range failure.puts {
		if success.puts[key] && w.puts[key] {
			continue
		}
		if err := w.put(key); err != nil {
			return err
		}
	}
	w.dels = append(append(w.dels, success.dels...), failure.dels...)
	return nil
}
