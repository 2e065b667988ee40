package kubernetes

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Interface is what Kubernetes asks of etcd. All methods are safe for concurrent use.
//
// Each call sends one request and blocks until it is answered or its context ends. The
// errors and the rules of repetition are those of [clientv3.KV]: after an error, a
// guarded write may have been applied all the same. An answer that lacks a part of
// what was asked for is an error.
type Interface interface {
	// Get returns the key-value pair of a key, nil if there is no such key. That is not an
	// error.
	Get(ctx context.Context, key string, opts GetOptions) (GetResponse, error)

	// List returns the key-value pairs of all keys that start with prefix, in the order
	// of the keys. An empty prefix means every key.
	List(ctx context.Context, prefix string, opts ListOptions) (ListResponse, error)

	// Count returns the number of keys that start with prefix, without reading them. An
	// empty prefix means every key.
	Count(ctx context.Context, prefix string, opts CountOptions) (int64, error)

	// OptimisticPut sets a key to a value if the key was last modified at
	// expectedRevision; 0 means that there must be no such key. Where that does not
	// hold, nothing is written, Succeeded is false, and there is no error.
	OptimisticPut(
		ctx context.Context, key string, value []byte, expectedRevision int64, opts PutOptions,
	) (PutResponse, error)

	// OptimisticDelete deletes a key if it was last modified at expectedRevision. Where
	// that does not hold, nothing is deleted, Succeeded is false, and there is no error.
	// An expectedRevision of 0 succeeds where there is no such key.
	OptimisticDelete(
		ctx context.Context, key string, expectedRevision int64, opts DeleteOptions,
	) (DeleteResponse, error)
}

// GetOptions change an [Interface] Get.
type GetOptions struct {
	// Revision reads the past; 0 is the newest revision. One that has been compacted
	// gives rpctypes.ErrCompacted, and one that does not exist rpctypes.ErrFutureRev.
	Revision int64
}

// ListOptions change a List.
type ListOptions struct {
	// Revision reads the past, as for GetOptions. The pages of one listing are
	// consistent where all but the first name the Revision of the first.
	Revision int64

	// Limit is the greatest number of keys to return; 0 is no limit.
	Limit int64

	// Continue is the first key to return, instead of the prefix's first. The next page
	// begins at the last key of the one before with "\x00" appended.
	Continue string
}

// CountOptions change a Count. There are none.
type CountOptions struct{}

// PutOptions change an OptimisticPut.
type PutOptions struct {
	// GetOnFailure returns the key-value pair that is there instead of the expected one.
	GetOnFailure bool

	// LeaseID attaches the key to a lease. [clientv3.NoLease] detaches it.
	LeaseID clientv3.LeaseID
}

// DeleteOptions change an OptimisticDelete.
type DeleteOptions struct {
	// GetOnFailure returns the key-value pair that is there instead of the expected one.
	GetOnFailure bool
}

// GetResponse is the answer to a Get.
type GetResponse struct {
	// KV is nil where there is no such key.
	KV *mvccpb.KeyValue

	// Revision is that of the store when it answered, not the one that was read.
	Revision int64
}

// ListResponse is the answer to a List.
type ListResponse struct {
	// Kvs are the key-value pairs in the order of their keys.
	Kvs []*mvccpb.KeyValue

	// Count is the number of keys from Continue, or the prefix's first, up to the
	// prefix's last: more than there are Kvs where Limit cut some off.
	Count int64

	// Revision is that of the store when it answered, not the one that was read.
	Revision int64
}

// PutResponse is the answer to an OptimisticPut.
type PutResponse struct {
	// KV is the pair that was not as expected, for PutOptions.GetOnFailure; nil where
	// there is no such key, and where the put succeeded.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the value was written.
	Succeeded bool

	// Revision is that of the store: of the write itself, where it succeeded.
	Revision int64
}

// DeleteResponse is the answer to an OptimisticDelete.
type DeleteResponse struct {
	// KV is the pair that was not as expected, for DeleteOptions.GetOnFailure; nil where
	// there is no such key, and where the deletion succeeded.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the key was as expected, and is now gone.
	Succeeded bool

	// Revision is that of the store: of the deletion itself, where a key was deleted.
	Revision int64
}
