// Package credentials has gRPC credentials for programs that open their own connections to an etcd
// server: transport security over TLS, and a token that can be replaced while requests are under
// way.
//
// A clientv3.Client makes and refreshes its own credentials; none of this is needed to use one.
package credentials
