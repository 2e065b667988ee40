// Package txnanswer reads the response to a transaction. The response has one part for each
// operation of the branch that was run, in their order.
//
// Responses come from the network. If a part is missing, or answers another kind of operation, the
// functions return an error that wraps [ErrMalformed]. They never panic. Without an error, neither
// the returned response nor any of its key-value pairs is nil.
package txnanswer

import (
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// ErrMalformed is wrapped by the error for a response that does not fit its request.
var ErrMalformed = errors.New("etcdclient: malformed response")

// Errorf returns an error that wraps ErrMalformed. The formatted text says what does not fit.
func Errorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// CheckCount returns an error if the response to a transaction does not have as many parts as the
// parameter want says.
func CheckCount(parts []*pb.ResponseOp, want int) error {
	if len(parts) != want {
		return Errorf("a transaction's answer has %d parts instead of %d", len(parts), want)
	}
	return nil
}

// Range returns part i of the response to a transaction. The part must be the response to a get.
func Range(parts []*pb.ResponseOp, i int) (*pb.RangeResponse, error) {
	resp, err := part(parts, i, "get", (*pb.ResponseOp).GetResponseRange)
	if err == nil {
		err = CheckPairs(resp.Kvs)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Pairs returns the key-value pairs of part i of the response to a transaction. The part must be
// the response to a get.
func Pairs(parts []*pb.ResponseOp, i int) ([]*mvccpb.KeyValue, error) {
	resp, err := Range(parts, i)
	return resp.GetKvs(), err
}

// Put returns part i of the response to a transaction. The part must be the response to a put.
func Put(parts []*pb.ResponseOp, i int) (*pb.PutResponse, error) {
	return part(parts, i, "put", (*pb.ResponseOp).GetResponsePut)
}

// Delete returns part i of the response to a transaction. The part must be the response to a
// delete.
func Delete(parts []*pb.ResponseOp, i int) (*pb.DeleteRangeResponse, error) {
	return part(parts, i, "delete", (*pb.ResponseOp).GetResponseDeleteRange)
}

// Txn returns part i of the response to a transaction. The part must be the response to a nested
// transaction.
func Txn(parts []*pb.ResponseOp, i int) (*pb.TxnResponse, error) {
	return part(parts, i, "transaction", (*pb.ResponseOp).GetResponseTxn)
}

// OnlyPair returns the key-value pair in the response to a get of a single key, or nil if the key
// does not exist.
func OnlyPair(resp *pb.RangeResponse) (*mvccpb.KeyValue, error) {
	switch kvs := resp.GetKvs(); {
	case len(kvs) == 0:
		return nil, nil
	case len(kvs) > 1:
		return nil, Errorf("%d pairs for one key", len(kvs))
	default:
		return kvs[0], CheckPairs(kvs) // if kvs[0] is nil, CheckPairs returns an error
	}
}

// CheckPairs returns an error if a key-value pair is nil.
func CheckPairs(kvs []*mvccpb.KeyValue) error {
	for i, kv := range kvs {
		if kv == nil {
			return Errorf("pair %d of %d is missing", i, len(kvs))
		}
	}
	return nil
}

// part returns the response in part i, which it reads with get. It returns an error if there is no
// part i. It also returns one if get returns nil: the part then answers another kind of operation.
// The error names the expected kind of operation, which the caller passes as request.
func part[R any](
	parts []*pb.ResponseOp, i int, request string, get func(*pb.ResponseOp) *R,
) (*R, error) {
	if i < 0 || i >= len(parts) {
		return nil, Errorf("no answer to request %d of a transaction, a %s", i, request)
	}
	resp := get(parts[i])
	if resp == nil {
		return nil, Errorf("%T as the answer to a %s", parts[i].GetResponse(), request)
	}
	return resp, nil
}
