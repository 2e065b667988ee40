// Package clientv3util holds small conditions for transactions.
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
