package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/retry"
)

// RetryKVClient returns a gRPC stub on the connection of c. Its requests are retried like those of
// c; see "Retries" in the package documentation. Its errors are gRPC's; ContextError converts them
// to the errors that this package documents. The stub is safe for concurrent use. Its calls end
// when c is closed.
func RetryKVClient(c *Client) pb.KVClient { return pb.NewKVClient(c.rpc) }

// RetryLeaseClient returns a gRPC stub for etcd's Lease service on the connection of c.
// [RetryKVClient] documents its retries, errors and lifetime. LeaseKeepAlive streams are not
// retried.
func RetryLeaseClient(c *Client) pb.LeaseClient { return pb.NewLeaseClient(c.rpc) }

// RetryClusterClient returns a gRPC stub for etcd's Cluster service on the connection of c.
// [RetryKVClient] documents its retries, errors and lifetime.
func RetryClusterClient(c *Client) pb.ClusterClient { return pb.NewClusterClient(c.rpc) }

// RetryAuthClient returns a gRPC stub for etcd's Auth service on the connection of c.
// [RetryKVClient] documents its retries, errors and lifetime.
func RetryAuthClient(c *Client) pb.AuthClient { return pb.NewAuthClient(c.rpc) }

// RetryMaintenanceClient returns a gRPC stub for etcd's Maintenance service. [RetryKVClient]
// documents its retries, errors and lifetime. Its requests go over conn, such as a connection that
// c.Dial made; nil means the client's own connection. Calls of the stub also end when conn is
// closed. After a failure to connect, a request that changes something is sent again only if conn
// was made by New or Dial.
func RetryMaintenanceClient(c *Client, conn *grpc.ClientConn) pb.MaintenanceClient {
	if conn == nil {
		return pb.NewMaintenanceClient(c.rpc)
	}
	return pb.NewMaintenanceClient(retry.New(conn, c.retryConfig()))
}
