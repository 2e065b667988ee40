// Package namespace decorates a KV, a Watcher and a Lease. A decorated one sees only the keys that
// begin with a prefix, and sees them without the prefix.
//
// A program uses a decorated client as it would use any other:
//
//	client.KV = namespace.NewKV(client.KV, "app/")
//	client.Watcher = namespace.NewWatcher(client.Watcher, "app/")
//	client.Lease = namespace.NewLease(client.Lease, "app/")
//
// Every request has the result that it would have on a cluster without other keys. Ranges,
// prefixes, comparisons and deletions end at the end of the prefix, and an empty key is refused
// with rpctypes.ErrEmptyKey. Revisions, leases and compactions are those of the whole cluster. A
// response of an etcd server has no key outside the prefix. If a response has one all the same,
// that key is left out.
//
// Packages that take a client, such as concurrency, use the KV, Watcher and Lease that it embeds.
// So locks and elections of the client above are in the namespace, too.
//
// A namespace does not protect anything: a program that has the inner client can reach all keys. A
// namespace may be made in another namespace. The prefix may have any bytes. An empty prefix
// changes nothing.
package namespace

// For those who change the package:
//
// A request is rewritten before it is sent, and its response is rewritten when it has been
// received. The type of each part of a response decides how it is rewritten, not the request,
// because a response may not fit its request. A response belongs to its caller and is changed in
// place. Watchers may share an event, so each event is copied, with one allocation.
//
// The options of a caller must run once. So a method makes an Op of them and rewrites the Op. It
// passes the Op on by Do, or by a single option that replaces the whole Op of the inner method.
//
// The KV and the Watcher of a client can run a function on each piece of a GetStream and on each
// list of events before they deliver it, so that no goroutine has to copy a channel. Their methods
// are GetStreamRewritten and WatchRewritten, which this package finds by a type assertion. The KV
// and the Watcher of a namespace have these methods, too, so that nested namespaces need no
// goroutines.
//
// FuzzNamespace compares a namespace with a model in memory that has no other keys.
