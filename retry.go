package clientv3

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/retry"
)

// RetryKVClient returns a protobuf stub on the connection of c. Its requests are retried like those
// of c; see "Retries" in the package documentation. Its errors are gRPC's, which ContextError
// converts. It is safe for concurrent use and ends with c.
func RetryKVClient(c *Client) pb.KVClient { return pb.NewKVClient(c.rpc) }

// RetryLeaseClient is RetryKVClient for leases. LeaseKeepAlive streams are not retried.
func RetryLeaseClient(c *Client) pb.LeaseClient { return pb.NewLeaseClient(c.rpc) }

// RetryClusterClient is RetryKVClient for the cluster's members.
func RetryClusterClient(c *Client) pb.ClusterClient { return pb.NewClusterClient(c.rpc) }

// RetryAuthClient is RetryKVClient for users and roles.
func RetryAuthClient(c *Client) pb.AuthClient { return pb.NewAuthClient(c.rpc) }

// RetryMaintenanceClient is RetryKVClient for maintenance. Its requests go over conn, which may be
// a connection that c.Dial made; nil means the client's own connection. The stub also ends with
// conn. If neither New nor Dial made conn, a request that changes something is not sent again after
// a failure to connect.
func RetryMaintenanceClient(c *Client, conn *grpc.ClientConn) pb.MaintenanceClient {
	if conn == nil {
		return pb.NewMaintenanceClient(c.rpc)
	}
	return pb.NewMaintenanceClient(retry.New(conn, c.retryConfig()))
}
