package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/v3/internal/retry"
	"google.golang.org/grpc"
)

// The clients below are protobuf stubs on a client's connection whose requests
// are retried like the client's own: see "Retries" in the package documentation.
// Their errors are gRPC's; ContextError converts them. They are safe for
// concurrent use, and end with the client that they were made from, or with the
// connection that they were given.

// RetryKVClient returns a KV stub that retries.
func RetryKVClient(c *Client) pb.KVClient { return pb.NewKVClient(c.rpc) }

// RetryLeaseClient returns a Lease stub that retries; LeaseKeepAlive streams
// are opened once.
func RetryLeaseClient(c *Client) pb.LeaseClient { return pb.NewLeaseClient(c.rpc) }

// RetryClusterClient returns a Cluster stub that retries.
func RetryClusterClient(c *Client) pb.ClusterClient { return pb.NewClusterClient(c.rpc) }

// RetryAuthClient returns an Auth stub that retries.
func RetryAuthClient(c *Client) pb.AuthClient { return pb.NewAuthClient(c.rpc) }

// RetryMaintenanceClient returns a Maintenance stub that retries on conn, which
// may be one that c.Dial made; nil means the client's own. On a connection that
// the client did not make, requests that change something are not repeated for
// want of a connection.
func RetryMaintenanceClient(c *Client, conn *grpc.ClientConn) pb.MaintenanceClient {
	if conn == nil {
		return pb.NewMaintenanceClient(c.rpc)
	}
	return pb.NewMaintenanceClient(retry.New(conn, c.retryConfig()))
}
