package namespace_test

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// choices makes decisions from bytes. After all bytes were used, each decision is the first option.
type choices []byte

func (c *choices) n(options int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % options
}

func (c *choices) oneIn(n int) bool { return c.n(n) == 1 }

var keys = []string{"a", "b", "a\x00", "ab", "\x00", "\xff", "\xff\xff", "a\xff", "\x00\x00", ""}

func (c *choices) key() string { return keys[c.n(len(keys))] }

// value returns one of few values, so that comparisons and sorts find equal ones.
func (c *choices) value() string { return []string{"1", "2", "3", ""}[c.n(4)] }

// revision chooses one of the model's first 24 revisions, or 0 for no revision.
func (c *choices) revision() int64 { return int64(c.n(25)) }

// at adds the offset between the model and the real server to a revision of the model. A revision
// of 0 stands for no revision and stays 0.
func at(rev, offset int64) int64 {
	if rev == 0 {
		return 0
	}
	return rev + offset
}

// options are the options of one clientv3.Op. The field text describes them in test messages.
type options struct {
	text string
	make []func(offset int64) clientv3.OpOption
}

func (o *options) add(opt clientv3.OpOption, format string, args ...any) {
	o.addAt(func(int64) clientv3.OpOption { return opt }, format, args...)
}

func (o *options) addAt(opt func(offset int64) clientv3.OpOption, format string, args ...any) {
	o.text += " " + fmt.Sprintf(format, args...)
	o.make = append(o.make, opt)
}

func (o *options) at(offset int64) []clientv3.OpOption {
	opts := make([]clientv3.OpOption, len(o.make))
	for i, opt := range o.make {
		opts[i] = opt(offset)
	}
	return opts
}

// ranges adds an option that selects a range of keys, or adds no option.
func (c *choices) ranges(o *options) {
	switch c.n(4) {
	case 1:
		o.add(clientv3.WithPrefix(), "prefix")
	case 2:
		o.add(clientv3.WithFromKey(), "from key")
	case 3:
		end := c.key()
		o.add(clientv3.WithRange(end), "to %q", end)
	}
}

func (c *choices) getOptions() *options {
	o := &options{}
	c.ranges(o)
	if c.oneIn(3) {
		limit := int64(c.n(4))
		o.add(clientv3.WithLimit(limit), "limit %d", limit)
	}
	if c.oneIn(3) {
		target, order := clientv3.SortTarget(c.n(5)), clientv3.SortOrder(c.n(3))
		o.add(clientv3.WithSort(target, order), "sort %d %d", target, order)
	}
	if c.oneIn(4) {
		rev := c.revision()
		o.addAt(func(offset int64) clientv3.OpOption {
			return clientv3.WithRev(at(rev, offset))
		}, "rev %d", rev)
	}
	for _, flag := range []struct {
		name string
		opt  clientv3.OpOption
	}{
		{"serializable", clientv3.WithSerializable()}, {"keys only", clientv3.WithKeysOnly()},
		{"count only", clientv3.WithCountOnly()},
	} {
		if c.oneIn(5) {
			o.add(flag.opt, "%s", flag.name)
		}
	}
	for name, bound := range []func(int64) clientv3.OpOption{
		clientv3.WithMinModRev, clientv3.WithMaxModRev, clientv3.WithMinCreateRev,
		clientv3.WithMaxCreateRev,
	} {
		if c.oneIn(5) {
			rev := c.revision()
			o.addAt(func(offset int64) clientv3.OpOption {
				return bound(at(rev, offset))
			}, "bound %d %d", name, rev)
		}
	}
	return o
}

func (c *choices) putOptions() *options {
	o := &options{}
	if c.oneIn(3) {
		id := clientv3.LeaseID(leaseID + c.n(2)*1000)
		o.add(clientv3.WithLease(id), "lease %d", id)
	}
	if c.oneIn(3) {
		o.add(clientv3.WithPrevKV(), "previous")
	}
	if c.oneIn(6) {
		o.add(clientv3.WithIgnoreValue(), "ignore value")
	}
	if c.oneIn(6) {
		o.add(clientv3.WithIgnoreLease(), "ignore lease")
	}
	return o
}

func (c *choices) deleteOptions() *options {
	o := &options{}
	c.ranges(o)
	if c.oneIn(2) {
		o.add(clientv3.WithPrevKV(), "previous")
	}
	return o
}

// operation makes a clientv3.Op. The function at adds the offset, which is 0 for the model, to the
// revisions in the Op.
type operation struct {
	text string
	at   func(offset int64) clientv3.Op
}

func (c *choices) operation(depth int) operation {
	switch kind := c.n(7); {
	case kind == 0 && depth > 0:
		return c.txn(depth - 1).operation()
	case kind <= 2:
		key, o := c.key(), c.getOptions()
		return operation{fmt.Sprintf("get %q%s", key, o.text), func(off int64) clientv3.Op {
			return clientv3.OpGet(key, o.at(off)...)
		}}
	case kind <= 4:
		key, value, o := c.key(), c.value(), c.putOptions()
		text := fmt.Sprintf("put %q %q%s", key, value, o.text)
		return operation{text, func(off int64) clientv3.Op {
			return clientv3.OpPut(key, value, o.at(off)...)
		}}
	default:
		key, o := c.key(), c.deleteOptions()
		// The model and the server would differ for a delete to the last key, whose range end is
		// "\x00". In a transaction, a server refuses a put of a key that is also deleted, but not
		// for this range end. A namespace sends the end of its own range instead.
		if string(clientv3.OpDelete(key, o.at(0)...).RangeBytes()) == "\x00" {
			o = &options{}
		}
		return operation{fmt.Sprintf("delete %q%s", key, o.text), func(off int64) clientv3.Op {
			return clientv3.OpDelete(key, o.at(off)...)
		}}
	}
}

// do returns a step (one request to compare) that sends the operation with Do.
func (o operation) do() step {
	return step{"do " + o.text, func(ctx context.Context, kv clientv3.KV,
		offset int64) (proto.Message, error) {
		resp, err := kv.Do(ctx, o.at(offset))
		return message(resp), err
	}}
}

func message(resp clientv3.OpResponse) proto.Message {
	switch {
	case resp.Get() != nil:
		return (*pb.RangeResponse)(resp.Get())
	case resp.Put() != nil:
		return (*pb.PutResponse)(resp.Put())
	case resp.Del() != nil:
		return (*pb.DeleteRangeResponse)(resp.Del())
	default:
		return (*pb.TxnResponse)(resp.Txn())
	}
}
