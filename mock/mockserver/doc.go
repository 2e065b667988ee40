// Package mockserver starts gRPC servers that accept an etcd client's requests about keys
// and leases, and answer each with an empty message; they end keepalive streams at once
// and know no other services. They serve tests of connections, balancing and endpoints;
// nothing is stored, and headers are missing.
package mockserver
