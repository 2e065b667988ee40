// Package clientv3util has conditions for transactions.
//
//	resp, err := client.Txn(ctx).
//		If(clientv3util.KeyMissing("owner")).
//		Then(clientv3.OpPut("owner", name)).
//		Commit() // resp.Succeeded says whether the key was missing
//
// The functions send nothing. The server checks the condition when the transaction is committed,
// and refuses an empty key with rpctypes.ErrEmptyKey.
package clientv3util

import clientv3 "go.etcd.io/etcd/client/v3"

// KeyExists returns the condition that the given key exists. KeyExists(p).WithPrefix() is the
// condition that there is a key with the prefix p.
func KeyExists(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), ">", 0)
}

// KeyMissing returns the condition that the given key does not exist: it was never put, was
// deleted, or its lease has ended. KeyMissing(p).WithPrefix() is the condition that there is no key
// with the prefix p.
func KeyMissing(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), "=", 0)
}
