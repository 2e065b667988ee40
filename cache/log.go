package cache

import (
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Change is what became of one key.
type Change struct {
	Key string           // the key
	Old *mvccpb.KeyValue // what it was before; nil if it did not exist
	New *mvccpb.KeyValue // what it is; nil if it was deleted
}

// entry is one link of the log of changes: what one response of the watch has brought, which is
// one or more whole revisions, or the difference after a gap. Everything but next is immutable.
type entry struct {
	first, last int64    // the revisions of its changes, from the oldest to the newest
	changes     []change // in the order of their revisions
	gap         bool     // the changes are a difference of states; what came between is unknown
	size        int64    // bytes that count against WithHistory
	next        atomic.Pointer[entry]
	dropped     atomic.Bool // it left the history: next may be cut, and a reader there is behind
}

// change is a Change with the revision it was made at, which a deletion does not show otherwise.
type change struct {
	Change
	revision int64
}
