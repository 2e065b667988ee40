// Package namespace decorates a KV, a Watcher and a Lease. A decorated KV, Watcher or Lease sees
// only the keys that begin with a prefix, and sees these keys without the prefix.
//
// A program uses a decorated client as it would use any other:
//
//	client.KV = namespace.NewKV(client.KV, "app/")
//	client.Watcher = namespace.NewWatcher(client.Watcher, "app/")
//	client.Lease = namespace.NewLease(client.Lease, "app/")
//
// Every request has the result that it would have on a cluster without other keys. Ranges,
// prefixes, comparisons and deletions do not reach beyond the keys with the prefix, and an empty
// key is refused with rpctypes.ErrEmptyKey. Revisions, leases and compactions are those of the
// whole cluster. An etcd server's response to a namespace has only keys with the prefix. If a
// response has any other key, that key is left out.
//
// Packages that take a client, such as concurrency, use the client's embedded KV, Watcher and
// Lease. So locks and elections that use the client above are in the namespace, too.
//
// A namespace does not protect anything: a program that has the undecorated client can reach all
// keys. A namespace can be made inside another namespace. The prefix may contain any bytes. An
// empty prefix changes nothing.
package namespace

// For those who change the package:
//
// A request is rewritten before it is sent, and its response is rewritten after it has been
// received. The type of each part of a response decides how the part is rewritten. The request does
// not decide, because a faulty response may not fit its request. A response belongs to its caller
// and is changed in place. An event may be shared by several watchers, so each event is copied,
// with one allocation.
//
// The options of a caller must run only once. So a method first makes an Op from the options, and
// rewrites the Op. Then it passes the Op to the inner client by Do, or by a single option that
// replaces the whole Op of the inner method.
//
// The KV and the Watcher of a client can rewrite each piece of a GetStream, and each list of
// events, before they deliver it. So this package needs no goroutine that copies from one channel
// to another. It finds the methods for this, GetStreamRewritten and WatchRewritten, by a type
// assertion. The KV and the Watcher of a namespace have these methods, too, so that nested
// namespaces need no goroutines either.
//
// FuzzNamespace compares a namespace with a model: a store in memory that holds only the keys of
// the namespace.
