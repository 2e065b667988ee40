// Package naming is the parent of two packages for service discovery on etcd:
// endpoints keeps the addresses of services under keys, and resolver gives them
// to gRPC clients. It holds nothing itself.
package naming
