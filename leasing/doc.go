// Package leasing serves linearizable reads from memory, for keys that are read
// often and written seldom.
//
//	kv, stop, err := leasing.NewKV(client, "leases/")
//	...
//	defer stop()
//	resp, err := kv.Get(ctx, "config") // asks the server, and takes ownership of "config"
//	resp, err = kv.Get(ctx, "config")  // costs no request
//
// For each key that a client has read it owns another one, the lease key: the
// prefix followed by the key, attached to the lease of the client's session. Whoever
// wants to write a key that somebody else owns asks the owner to give it up, and waits
// until the owner has, or until the owner's lease has expired.
//
// # What it asks of the programs
//
// Every write of a key that a leasing client may have read must go through a KV of
// this package with the same prefix, that of upstream included. A plain write is
// not noticed by owners. A program without such a KV may write in a transaction with
// the condition that the lease key does not exist:
//
//	client.Txn(ctx).
//		If(clientv3util.KeyMissing("leases/" + key)).
//		Then(clientv3.OpPut(key, value)).
//		Commit()
//
// Reads by any client, of any kind, always see what is written. Keys that are
// attached to a lease are read from the server, since the server deletes them. The
// keys below the prefix belong to this package.
//
// # When memory is trusted
//
// A key is read from memory while the session's lease is certain to live, by the
// monotonic clock of the process (see clientv3.KeepAliveEnd): a process that was
// paused for longer than the TTL asks the server again. That clock stands still
// while a whole machine is suspended, so do not use this package where machines are
// suspended and resumed in less time than clocks take to notice. Nor must
// somebody else revoke the lease.
package leasing
