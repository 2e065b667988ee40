package leasing

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// epoch is the time during which one session's lease can hold lease keys. It is read-only.
type epoch struct {
	lease clientv3.LeaseID
	ctx   context.Context // ends with the epoch
	// The lease is certain to live until certainUntil, or until keepAliveEnd's deadline if that is
	// later.
	certainUntil time.Time
	keepAliveEnd *clientv3.KeepAliveEnd
	// isGiven says that the lease is older than the epoch, so it may have lease keys already.
	isGiven bool
}

// isCertain reports whether the lease is certain to live at this moment.
func (e *epoch) isCertain() bool {
	until := e.keepAliveEnd.Deadline()
	if until.Before(e.certainUntil) {
		until = e.certainUntil
	}
	return e.keepAliveEnd.Err() == nil && time.Now().Before(until)
}

// createRevisionOf returns the create revision of a lease key that is attached to the lease, and 0
// for any other lease key.
func (e *epoch) createRevisionOf(leaseKey *mvccpb.KeyValue) int64 {
	if leaseKey.GetLease() != int64(e.lease) {
		return 0
	}
	return leaseKey.GetCreateRevision()
}
