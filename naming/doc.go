// Package naming is the parent of two packages for service discovery. Package endpoints keeps the
// addresses of services in etcd. Package resolver passes them to gRPC clients.
package naming
