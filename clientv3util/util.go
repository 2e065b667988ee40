// Package clientv3util holds small conditions for transactions.
//
//	resp, err := client.Txn(ctx).
//		If(clientv3util.KeyMissing("owner")).
//		Then(clientv3.OpPut("owner", name)).
//		Commit() // resp.Succeeded says whether the key was missing
package clientv3util

import clientv3 "go.etcd.io/etcd/client/v3"

// KeyExists returns the condition that key exists.
func KeyExists(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), ">", 0)
}

// KeyMissing returns the condition that key does not exist.
func KeyMissing(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.Version(key), "=", 0)
}
