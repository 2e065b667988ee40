package clientv3

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// CompareTarget is the field of a key-value pair that a [Cmp] compares.
type CompareTarget int

// CompareResult is the relation, such as "equal" or "greater", that a [Cmp] asks for.
type CompareResult int

// The fields that a [Cmp] can compare. A Cmp can also compare the lease ([LeaseValue]), for which
// there is no constant.
const (
	CompareVersion  CompareTarget = CompareTarget(pb.Compare_VERSION)
	CompareCreated  CompareTarget = CompareTarget(pb.Compare_CREATE)
	CompareModified CompareTarget = CompareTarget(pb.Compare_MOD)
	CompareValue    CompareTarget = CompareTarget(pb.Compare_VALUE)
)

// Cmp is one condition of a transaction, such as
//
//	Compare(Value("name"), "=", "bob")
//
// For a key that does not exist, the version, the revisions and the lease are 0. A condition on the
// value of such a key never holds, not even with "!=".
//
// A Cmp is a value: changes of a copy do not change the original. Copies share their byte slices;
// [Cmp.Clone] copies them too. The zero Cmp has no key, and servers refuse it.
type Cmp struct {
	msg *pb.Compare // never modified: methods that change the Cmp replace msg
}

// results has the relations that Compare accepts, with the protocol's constants for them.
var results = map[string]pb.Compare_CompareResult{
	"=":  pb.Compare_EQUAL,
	"!=": pb.Compare_NOT_EQUAL,
	">":  pb.Compare_GREATER,
	"<":  pb.Compare_LESS,
}

// Compare completes the condition that [Value], [Version], [CreateRevision], [ModRevision] or
// [LeaseValue] began. The field must be equal to ("="), not equal to ("!="), greater than (">") or
// less than ("<") v.
//
// v must be a string for Value, and an int64 or int for the other four; LeaseValue also takes a
// [LeaseID]. Compare panics if v has another type, or if result is not one of the four strings.
func Compare(cmp Cmp, result string, v any) Cmp {
	res, ok := results[result]
	if !ok {
		panic(fmt.Sprintf(`etcdclient: Compare knows the results "=", "!=", ">" and "<", not %q`,
			result))
	}
	msg := cmp.copied()
	msg.Result = res
	switch msg.Target {
	case pb.Compare_VALUE:
		s, ok := v.(string)
		if !ok {
			panic(fmt.Sprintf("etcdclient: Compare cannot compare VALUE with %v of type %T", v, v))
		}
		msg.TargetUnion = &pb.Compare_Value{Value: []byte(s)}
	case pb.Compare_VERSION:
		msg.TargetUnion = &pb.Compare_Version{Version: operandInt(msg.Target, v)}
	case pb.Compare_CREATE:
		msg.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: operandInt(msg.Target, v)}
	case pb.Compare_MOD:
		msg.TargetUnion = &pb.Compare_ModRevision{ModRevision: operandInt(msg.Target, v)}
	case pb.Compare_LEASE:
		if id, ok := v.(LeaseID); ok {
			v = int64(id)
		}
		msg.TargetUnion = &pb.Compare_Lease{Lease: operandInt(msg.Target, v)}
	default:
		panic(fmt.Sprintf("etcdclient: Compare does not know the target %d", msg.Target))
	}
	return Cmp{msg}
}

func operandInt(target pb.Compare_CompareTarget, v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case int:
		return int64(n)
	default:
		panic(fmt.Sprintf("etcdclient: Compare cannot compare %s with %v of type %T", target, v, v))
	}
}

func newCmp(key string, target pb.Compare_CompareTarget) Cmp {
	return Cmp{&pb.Compare{Key: []byte(key), Target: target}}
}

// Value begins a condition on the value of key. Values are compared byte by byte.
func Value(key string) Cmp { return newCmp(key, pb.Compare_VALUE) }

// Version begins a condition on the version of key: the number of puts of key since it was created,
// the creating put included.
func Version(key string) Cmp { return newCmp(key, pb.Compare_VERSION) }

// CreateRevision begins a condition on the revision that created key.
func CreateRevision(key string) Cmp { return newCmp(key, pb.Compare_CREATE) }

// ModRevision begins a condition on the revision that last modified key.
func ModRevision(key string) Cmp { return newCmp(key, pb.Compare_MOD) }

// LeaseValue begins a condition on the lease that key is attached to; 0 means no lease.
func LeaseValue(key string) Cmp { return newCmp(key, pb.Compare_LEASE) }

// FromCompare returns the condition that c describes. The Cmp refers to c, so c must not be
// modified afterwards.
func FromCompare(c *pb.Compare) Cmp { return Cmp{c} }

// GetCompare returns the message that is sent for the condition. The message is not a copy and must
// not be modified.
func (c *Cmp) GetCompare() *pb.Compare {
	if c.msg == nil {
		return &pb.Compare{}
	}
	return c.msg
}

// Clone returns a deep copy.
func (c *Cmp) Clone() Cmp { return Cmp{proto.CloneOf(c.msg)} }

// KeyBytes returns the key, or the first key of the range. The slice is not a copy.
func (c *Cmp) KeyBytes() []byte { return c.msg.GetKey() }

// WithKeyBytes replaces the key, or the first key of the range. The slice is not copied. The end of
// the range does not change.
func (c *Cmp) WithKeyBytes(key []byte) {
	c.msg = c.copied()
	c.msg.Key = key
}

// ValueBytes returns the bytes that the value of the key is compared to. It returns nil if the
// condition is on a field other than the value. The slice is not a copy.
func (c *Cmp) ValueBytes() []byte { return c.msg.GetValue() }

// WithValueBytes makes the condition compare the value of the key to v. v is not copied.
func (c *Cmp) WithValueBytes(v []byte) {
	c.msg = c.copied()
	c.msg.TargetUnion = &pb.Compare_Value{Value: v}
}

// WithRange returns a copy of c that applies to all keys from c's key up to but not including end.
// An end of "\x00" is the end of the key space. The condition holds if it holds for each existing
// key in that range. If no key exists in the range, it is evaluated as for a single key that does
// not exist.
func (c Cmp) WithRange(end string) Cmp {
	msg := c.copied()
	msg.RangeEnd = []byte(end)
	return Cmp{msg}
}

// WithPrefix returns a copy of c that applies to all keys that start with c's key. [Cmp.WithRange]
// says when a condition on several keys holds. An empty key means all keys.
func (c Cmp) WithPrefix() Cmp {
	msg := c.copied()
	msg.RangeEnd = prefixEnd(msg.Key)
	if len(msg.Key) == 0 {
		msg.Key = []byte(endOfKeys)
	}
	return Cmp{msg}
}

// copied returns a shallow copy of c's message.
func (c *Cmp) copied() *pb.Compare {
	return &pb.Compare{
		Result:      c.msg.GetResult(),
		Target:      c.msg.GetTarget(),
		Key:         c.msg.GetKey(),
		TargetUnion: c.msg.GetTargetUnion(),
		RangeEnd:    c.msg.GetRangeEnd(),
	}
}
