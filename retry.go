package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/retry"
)

// RetryKVClient returns a protobuf stub on the connection of c, whose requests are retried like
// those of c: see "Retries" in the package documentation. Its errors are gRPC's; ContextError
// converts them. It is safe for concurrent use and ends with c, as do the other stubs of this kind.
func RetryKVClient(c *Client) pb.KVClient { return pb.NewKVClient(c.rpc) }

// RetryLeaseClient is RetryKVClient for leases. LeaseKeepAlive streams are opened once.
func RetryLeaseClient(c *Client) pb.LeaseClient { return pb.NewLeaseClient(c.rpc) }

// RetryClusterClient is RetryKVClient for the cluster's members.
func RetryClusterClient(c *Client) pb.ClusterClient { return pb.NewClusterClient(c.rpc) }

// RetryAuthClient is RetryKVClient for users and roles.
func RetryAuthClient(c *Client) pb.AuthClient { return pb.NewAuthClient(c.rpc) }

// RetryMaintenanceClient is RetryKVClient for maintenance, on conn, which may be one that c.Dial
// made; nil means the client's own. The stub ends with that connection as well. On one that the
// client did not make, requests that change something are not repeated for want of a connection.
func RetryMaintenanceClient(c *Client, conn *grpc.ClientConn) pb.MaintenanceClient {
	if conn == nil {
		return pb.NewMaintenanceClient(c.rpc)
	}
	return pb.NewMaintenanceClient(retry.New(conn, c.retryConfig()))
}
