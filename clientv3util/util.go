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

// KeyExists returns the condition that key exists. KeyExists(key).WithPrefix() is the condition
// that at least one key begins with key.
func KeyExists(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), ">", 0)
}

// KeyMissing returns the condition that key does not exist: it was never put, was deleted, or its
// lease has ended. KeyMissing(key).WithPrefix() is the condition that no key begins with key.
func KeyMissing(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), "=", 0)
}
