// Package mockserver starts gRPC servers that accept the requests of an etcd client
// and answer each with an empty message. They serve tests of connections, balancing
// and endpoints; nothing is stored, and headers are missing.
package mockserver
