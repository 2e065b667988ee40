package clientv3

import (
	"context"
	"errors"
	"fmt"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"google.golang.org/grpc"
)

// oldestVersion is the oldest release that Config.RejectOldCluster accepts.
var oldestVersion = version.V3_6

// rejectOldCluster asks every endpoint for its version, all at once. It fails
// if one is too old, or if none answers within the dial timeout.
func (c *Client) rejectOldCluster() error {
	if !c.cfg.RejectOldCluster {
		return nil
	}
	ctx, cancel := context.WithTimeout(origin.Client(c.ctx), c.cfg.dialTimeout())
	defer cancel()
	answers := make(chan error, len(c.cfg.Endpoints)) // sent on once by each goroutine below
	for _, ep := range c.cfg.Endpoints {
		// Ends with ctx at the latest; the loop below waits for its answer.
		go func() { answers <- c.checkVersion(ctx, ep) }()
	}
	var failed []error
	for range c.cfg.Endpoints {
		if err := <-answers; err != nil {
			failed = append(failed, err)
		}
	}
	err := errors.Join(failed...)
	switch {
	case errors.Is(err, ErrOldCluster):
		return ErrOldCluster
	case len(failed) < len(c.cfg.Endpoints):
		return nil
	}
	return err
}

// checkVersion asks one endpoint.
func (c *Client) checkVersion(ctx context.Context, ep string) error {
	conn, err := c.Dial(ep)
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("etcdclient: version of %s: %w", endpoint.Redact(ep), toErr(ctx, err))
	}
	v, err := semver.NewVersion(resp.GetVersion())
	if err != nil {
		return fmt.Errorf("etcdclient: version %q of %s: %w", resp.GetVersion(), endpoint.Redact(ep), err)
	}
	if v.LessThan(oldestVersion) {
		return ErrOldCluster
	}
	return nil
}
