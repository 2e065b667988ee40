// Package recipe has barriers, queues and a lock for readers and writers, made of
// keys that programs of other clients and languages can use, too.
//
// The methods take no context: they wait until what they wait for happens, or the
// client is closed, or, for recipes that are made with a session, until that ends.
// Then they return the context's error, or concurrency.ErrSessionExpired. Other
// errors are those of clientv3.KV for what does not pass. Members that are lost while
// a method waits, leaders that change and revisions that are compacted are no reason
// to fail.
//
// The package is experimental in etcd's own terms. What it does stays.
package recipe
