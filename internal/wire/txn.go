package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// The tags of the fields of TxnResponse and ResponseOp. A tag is one byte that holds the field's
// number and wire type.
const (
	txnSucceeded = 2<<3 | byte(protowire.VarintType)
	txnResponses = 3<<3 | byte(protowire.BytesType)

	opRange  = 1<<3 | byte(protowire.BytesType)
	opPut    = 2<<3 | byte(protowire.BytesType)
	opDelete = 3<<3 | byte(protowire.BytesType)
	opTxn    = 4<<3 | byte(protowire.BytesType)
)

// maxDepth is how many levels of nested transactions the decoders of this package accept in an
// answer. The protobuf library decodes an answer with more levels.
const maxDepth = 16

// opPart holds the answer to one operation of a transaction, in a single allocation. It also holds
// the two structs that wrap the answer. A is the type of the answer, such as pb.RangeResponse. C is
// its wrapper in the oneof field of a ResponseOp, such as pb.ResponseOp_ResponseRange.
type opPart[C, A any] struct {
	op     pb.ResponseOp
	choice C
	answer A
}

type putPart struct {
	opPart[pb.ResponseOp_ResponsePut, pb.PutResponse]
	header pb.ResponseHeader
}

func decodeTxn(c cursor, m *pb.TxnResponse, depth int) bool {
	var head header
	n, ok := c.count(txnResponses)
	if !ok || depth > maxDepth {
		return false
	}
	if n > 0 {
		m.Responses = make([]*pb.ResponseOp, 0, n)
	}
	for ok && c.more() {
		switch c.tag() {
		case responseHeader:
			ok = head.find(&c)
		case txnSucceeded:
			m.Succeeded, ok = c.flag()
		case txnResponses:
			var sub cursor
			if sub, ok = c.message(); !ok {
				return false
			}
			var op *pb.ResponseOp
			op, ok = decodeOp(sub, depth)
			m.Responses = append(m.Responses, op)
		default:
			return false
		}
	}
	return ok && head.decode(&m.Header, nil)
}

// decodeOp decodes the answer to one operation of a transaction. depth is how deeply that
// transaction is nested in others: 0 for the outermost one.
func decodeOp(c cursor, depth int) (*pb.ResponseOp, bool) {
	if !c.more() {
		return &pb.ResponseOp{}, true
	}
	tag := c.tag()
	sub, ok := c.message()
	if !ok || c.more() {
		// The message is malformed, or it has a second answer. This decoder leaves both cases to
		// gRPC's codec.
		return nil, false
	}
	switch tag {
	case opRange:
		p := &opPart[pb.ResponseOp_ResponseRange, pb.RangeResponse]{}
		p.choice.ResponseRange, p.op.Response = &p.answer, &p.choice
		return &p.op, decodeRange(sub, &p.answer)
	case opPut:
		p := &putPart{}
		p.choice.ResponsePut, p.op.Response = &p.answer, &p.choice
		return &p.op, decodePut(sub, &p.answer, &p.header)
	case opDelete:
		p := &opPart[pb.ResponseOp_ResponseDeleteRange, pb.DeleteRangeResponse]{}
		p.choice.ResponseDeleteRange, p.op.Response = &p.answer, &p.choice
		return &p.op, decodeDelete(sub, &p.answer)
	case opTxn:
		p := &opPart[pb.ResponseOp_ResponseTxn, pb.TxnResponse]{}
		p.choice.ResponseTxn, p.op.Response = &p.answer, &p.choice
		return &p.op, decodeTxn(sub, &p.answer, depth+1)
	}
	return nil, false
}
