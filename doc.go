// Package clientv3 is a client for the etcd v3 key-value store.
package clientv3
