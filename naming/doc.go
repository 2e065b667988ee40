// Package naming is the parent of two packages for service discovery: endpoints keeps the addresses
// of services in etcd, and resolver gives them to gRPC clients.
package naming
