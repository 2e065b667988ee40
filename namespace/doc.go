// Package namespace decorates a KV, a Watcher and a Lease so that they see only the keys
// that begin with a prefix, and see them without it.
//
// A decorated client works on its own part of the key space and need not know of it:
//
//	client.KV = namespace.NewKV(client.KV, "app/")
//	client.Watcher = namespace.NewWatcher(client.Watcher, "app/")
//	client.Lease = namespace.NewLease(client.Lease, "app/")
//
// Every request has the result that it would have on a cluster without any other keys:
// ranges, prefixes, comparisons and deletions end where the prefix does, and an empty
// key is refused with rpctypes.ErrEmptyKey. Revisions, leases and compactions are those
// of the whole cluster. A key outside the prefix in an answer, which no etcd server
// gives, is left out.
//
// It is a convenience and no protection: whoever holds the client can reach all keys.
// Namespaces nest. The prefix may be of any bytes; an empty one changes nothing.
package namespace
