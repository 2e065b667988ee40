package namespace_test

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// condition makes a comparison. The function at adds the offset, which is 0 for the model, to the
// revisions in the comparison.
type condition struct {
	text string
	at   func(offset int64) clientv3.Cmp
}

func (c *choices) condition() condition {
	key, result := c.key(), []string{"=", "!=", ">", "<"}[c.n(4)]
	span, end := c.n(4), c.key()
	widened := func(cmp clientv3.Cmp) clientv3.Cmp {
		switch span {
		case 1:
			return cmp.WithPrefix()
		case 2:
			return cmp.WithRange(end)
		case 3:
			return cmp.WithRange("\x00")
		}
		return cmp
	}
	target, operand, value := c.n(5), int64(c.n(12)), c.value()
	return condition{
		fmt.Sprintf("if %q (span %d to %q) target %d %s %d %q", key, span, end, target, result,
			operand, value),
		func(offset int64) clientv3.Cmp {
			switch target {
			case 0:
				return widened(clientv3.Compare(clientv3.Version(key), result, operand))
			case 1:
				return widened(clientv3.Compare(clientv3.CreateRevision(key), result,
					at(operand, offset)))
			case 2:
				return widened(clientv3.Compare(clientv3.ModRevision(key), result,
					at(operand, offset)))
			case 3:
				return widened(clientv3.Compare(clientv3.Value(key), result, value))
			default:
				return widened(clientv3.Compare(clientv3.LeaseValue(key), result,
					operand/10*leaseID))
			}
		},
	}
}

// transaction has the three parts of a transaction.
type transaction struct {
	cmps             []condition
	thenOps, elseOps []operation
}

func (c *choices) txn(depth int) (t transaction) {
	for range c.n(3) {
		t.cmps = append(t.cmps, c.condition())
	}
	for range c.n(3) {
		t.thenOps = append(t.thenOps, c.operation(depth))
	}
	for range c.n(3) {
		t.elseOps = append(t.elseOps, c.operation(depth))
	}
	return t
}

func (t transaction) at(offset int64) (cmps []clientv3.Cmp, thenOps, elseOps []clientv3.Op) {
	for _, cmp := range t.cmps {
		cmps = append(cmps, cmp.at(offset))
	}
	for _, op := range t.thenOps {
		thenOps = append(thenOps, op.at(offset))
	}
	for _, op := range t.elseOps {
		elseOps = append(elseOps, op.at(offset))
	}
	return cmps, thenOps, elseOps
}

func (t transaction) text() string {
	text := "txn"
	for _, cmp := range t.cmps {
		text += "; " + cmp.text
	}
	for _, op := range t.thenOps {
		text += "; then " + op.text
	}
	for _, op := range t.elseOps {
		text += "; else " + op.text
	}
	return text
}

func (t transaction) operation() operation {
	return operation{"(" + t.text() + ")", func(offset int64) clientv3.Op {
		return clientv3.OpTxn(t.at(offset))
	}}
}

// commit makes a step that builds and commits the transaction.
func (t transaction) commit() step {
	return step{"commit " + t.text(), func(ctx context.Context, kv clientv3.KV,
		offset int64) (proto.Message, error) {
		cmps, thenOps, elseOps := t.at(offset)
		resp, err := kv.Txn(ctx).If(cmps...).Then(thenOps...).Else(elseOps...).Commit()
		return (*pb.TxnResponse)(resp), err
	}}
}

// step makes any kind of request.
func (c *choices) step() step {
	switch kind := c.n(10); kind {
	case 0, 1:
		key, value, o := c.key(), c.value(), c.putOptions()
		return step{fmt.Sprintf("put %q %q%s", key, value, o.text),
			func(ctx context.Context, kv clientv3.KV, off int64) (proto.Message, error) {
				resp, err := kv.Put(ctx, key, value, o.at(off)...)
				return (*pb.PutResponse)(resp), err
			}}
	case 2, 3:
		key, o := c.key(), c.getOptions()
		return step{fmt.Sprintf("get %q%s", key, o.text),
			func(ctx context.Context, kv clientv3.KV, off int64) (proto.Message, error) {
				resp, err := kv.Get(ctx, key, o.at(off)...)
				return (*pb.RangeResponse)(resp), err
			}}
	case 4:
		key, o := c.key(), c.getOptions()
		return step{fmt.Sprintf("stream %q%s", key, o.text),
			func(ctx context.Context, kv clientv3.KV, off int64) (proto.Message, error) {
				stream, err := kv.GetStream(ctx, key, o.at(off)...)
				if err != nil {
					return nil, err
				}
				resp, err := clientv3.GetStreamToGetResponse(stream)
				return (*pb.RangeResponse)(resp), err
			}}
	case 5:
		key, o := c.key(), c.deleteOptions()
		return step{fmt.Sprintf("delete %q%s", key, o.text),
			func(ctx context.Context, kv clientv3.KV, off int64) (proto.Message, error) {
				resp, err := kv.Delete(ctx, key, o.at(off)...)
				return (*pb.DeleteRangeResponse)(resp), err
			}}
	case 6:
		return c.compaction()
	case 7:
		return c.operation(2).do()
	default:
		return c.txn(2).commit()
	}
}

// compaction makes a step that compacts, but only with a probability of a quarter. Otherwise it
// makes another step. Frequent compactions would leave few past revisions to read.
func (c *choices) compaction() step {
	rev := 1 + c.revision()
	if !c.oneIn(4) {
		return c.operation(0).do()
	}
	return step{fmt.Sprintf("compact %d", rev),
		func(ctx context.Context, kv clientv3.KV, off int64) (proto.Message, error) {
			resp, err := kv.Compact(ctx, at(rev, off))
			return (*pb.CompactionResponse)(resp), err
		}}
}
