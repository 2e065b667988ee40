package etcdfake

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// checkTxn refuses what is wrong with a transaction whatever the state: both branches count.
func checkTxn(req *pb.TxnRequest) error {
	if err := checkForm(req); err != nil {
		return err
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		if _, err := checkOverlaps(ops); err != nil {
			return err
		}
	}
	return nil
}

// checkForm checks each comparison and operation by itself.
func checkForm(req *pb.TxnRequest) error {
	for _, c := range req.Compare {
		if len(c.Key) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			if err := checkOpForm(op); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOpForm(op *pb.RequestOp) error {
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return checkKey(r.RequestRange.Key)
	case *pb.RequestOp_RequestPut:
		return checkPutForm(r.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		return checkKey(r.RequestDeleteRange.Key)
	case *pb.RequestOp_RequestTxn:
		return checkForm(r.RequestTxn)
	}
	return nil
}

func checkKey(key []byte) error {
	if len(key) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

func checkPutForm(req *pb.PutRequest) error {
	switch {
	case len(req.Key) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case req.IgnoreValue && len(req.Value) > 0:
		return rpctypes.ErrGRPCValueProvided
	case req.IgnoreLease && req.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

// writes is what a branch may write.
type writes struct {
	puts map[string]bool
	dels []*pb.DeleteRangeRequest
}

// addPut refuses a key that is already written.
func (w *writes) addPut(key string) error {
	if w.puts[key] || w.deletes(key) {
		return rpctypes.ErrGRPCDuplicateKey
	}
	w.puts[key] = true
	return nil
}

func (w *writes) deletes(key string) bool {
	for _, del := range w.dels {
		if inRange([]byte(key), del.Key, del.RangeEnd) {
			return true
		}
	}
	return false
}

// checkOverlaps refuses a branch that puts a key twice, or puts a key that it deletes. Deletes of
// one level are looked at before the transactions in it, and those before its puts, as in etcd.
func checkOverlaps(ops []*pb.RequestOp) (*writes, error) {
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
			if err := w.addPut(string(put.Key)); err != nil {
				return nil, err
			}
		}
	}
	return w, nil
}

// addTxn adds the writes of a nested transaction. Its branches may put the same key, since only one
// of them runs.
func (w *writes) addTxn(req *pb.TxnRequest) error {
	success, err := checkOverlaps(req.Success)
	if err != nil {
		return err
	}
	failure, err := checkOverlaps(req.Failure)
	if err != nil {
		return err
	}
	for key := range success.puts {
		if err := w.addPut(key); err != nil {
			return err
		}
	}
	for key := range failure.puts {
		if success.puts[key] {
			continue
		}
		if err := w.addPut(key); err != nil {
			return err
		}
	}
	w.dels = append(append(w.dels, success.dels...), failure.dels...)
	return nil
}
