// Package kubernetes has the part of a client that Kubernetes needs: reads of single keys and of
// prefixes, and writes that are guarded by the revision of the key.
package kubernetes

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Interface holds the requests that Kubernetes sends to etcd. All methods are safe for concurrent
// use.
//
// Each call sends one request and blocks until it is answered or its context ends. Errors and the
// rules of repetition are those of [clientv3.KV]: after an error, a guarded write may still have
// been applied. A response that lacks a requested part is an error.
type Interface interface {
	// Get returns the key-value pair of a key, or nil and no error if the key does not exist.
	Get(ctx context.Context, key string, opts GetOptions) (GetResponse, error)

	// List returns the key-value pairs of all keys that begin with prefix, in the order of the
	// keys. An empty prefix means all keys.
	List(ctx context.Context, prefix string, opts ListOptions) (ListResponse, error)

	// Count returns the number of keys that begin with prefix, without reading them. An empty
	// prefix means all keys.
	Count(ctx context.Context, prefix string, opts CountOptions) (int64, error)

	// OptimisticPut sets a key to a value if the key was last modified at expectedRevision; 0 means
	// that the key must not exist. Otherwise nothing is written, Succeeded is false, and there is
	// no error.
	OptimisticPut(
		ctx context.Context, key string, value []byte, expectedRevision int64, opts PutOptions,
	) (PutResponse, error)

	// OptimisticDelete deletes a key if it was last modified at expectedRevision. Otherwise nothing
	// is deleted, Succeeded is false, and there is no error. With an expectedRevision of 0 it
	// succeeds if the key does not exist.
	OptimisticDelete(
		ctx context.Context, key string, expectedRevision int64, opts DeleteOptions,
	) (DeleteResponse, error)
}

// GetOptions are the options of [Interface] Get.
type GetOptions struct {
	// Revision is the revision to read at; 0 is the newest one. A revision that was compacted
	// returns rpctypes.ErrCompacted, and a future one rpctypes.ErrFutureRev.
	Revision int64
}

// ListOptions are the options of List.
type ListOptions struct {
	// Revision is the revision to read at, as in GetOptions. To get consistent pages, read all
	// pages but the first at the Revision of the first.
	Revision int64

	// Limit is the greatest number of keys to return; 0 means no limit.
	Limit int64

	// Continue is the first key to return, instead of the prefix's first. For the next page, it is
	// the last key of the page before with "\x00" appended.
	Continue string
}

// CountOptions are the options of Count. There are none.
type CountOptions struct{}

// PutOptions are the options of OptimisticPut.
type PutOptions struct {
	// GetOnFailure returns the key-value pair that is there instead of the expected one.
	GetOnFailure bool

	// LeaseID attaches the key to a lease. [clientv3.NoLease] detaches it.
	LeaseID clientv3.LeaseID
}

// DeleteOptions are the options of OptimisticDelete.
type DeleteOptions struct {
	// GetOnFailure returns the key-value pair that is there instead of the expected one.
	GetOnFailure bool
}

// GetResponse is the response to a Get.
type GetResponse struct {
	// KV is nil if the key does not exist.
	KV *mvccpb.KeyValue

	// Revision is that of the store when it answered, not the one that was read.
	Revision int64
}

// ListResponse is the response to a List.
type ListResponse struct {
	// Kvs are the key-value pairs in the order of their keys.
	Kvs []*mvccpb.KeyValue

	// Count is the number of keys with the prefix, from Continue on. It is greater than the number
	// of Kvs if Limit cut some off.
	Count int64

	// Revision is that of the store when it answered, not the one that was read.
	Revision int64
}

// PutResponse is the response to an OptimisticPut.
type PutResponse struct {
	// KV is the pair that was not as expected, if PutOptions.GetOnFailure is set. It is nil if the
	// key does not exist, and if the put succeeded.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the value was written.
	Succeeded bool

	// Revision is that of the store: of the write itself, if it succeeded.
	Revision int64
}

// DeleteResponse is the response to an OptimisticDelete.
type DeleteResponse struct {
	// KV is the pair that was not as expected, if DeleteOptions.GetOnFailure is set. It is nil if
	// the key does not exist, and if the delete succeeded.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the key was as expected, and so is gone.
	Succeeded bool

	// Revision is that of the store: of the delete itself, if a key was deleted.
	Revision int64
}
