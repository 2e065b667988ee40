// Package namespace decorates a KV, a Watcher and a Lease. They then see only the keys that begin
// with a prefix, and see them without the prefix.
//
// A program uses a decorated client as it would use any other:
//
//	client.KV = namespace.NewKV(client.KV, "app/")
//	client.Watcher = namespace.NewWatcher(client.Watcher, "app/")
//	client.Lease = namespace.NewLease(client.Lease, "app/")
//
// Every request has the result that it would have on a cluster without other keys: ranges,
// prefixes, comparisons and deletions end at the end of the prefix, and an empty key is refused
// with rpctypes.ErrEmptyKey. Revisions, leases and compactions are those of the whole cluster. If
// a server answers with a key outside the prefix, which no etcd server does, that key is left out.
//
// Packages that take a client, such as concurrency, use the KV, Watcher and Lease that it embeds.
// So locks and elections of the client above are in the namespace, too.
//
// A namespace is no protection: a program that has the inner client can reach all keys. Namespaces
// nest. The prefix may have any bytes; an empty prefix changes nothing.
package namespace

// For those who change the package:
//
// A request is rewritten before it is sent, and its response after it was received. How a response
// is rewritten depends only on the types in it, because it may not fit its request. A response
// belongs to its caller and is changed in place. Watchers may share an event, so each event is
// copied, with one allocation.
//
// The options of a caller run once: a method makes an Op of them and rewrites it. It passes the Op
// on by Do, or as a single option that replaces the whole Op of the inner method.
//
// The KV and the Watcher of a client have methods that run a function on what they deliver, so that
// no goroutine copies a channel: GetStreamRewritten and WatchRewritten, found by a type assertion.
// Namespaces have both methods too, and so nest.
//
// FuzzNamespace compares all of this with a model in memory that has no other keys.
