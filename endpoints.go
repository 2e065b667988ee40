package clientv3

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"go.uber.org/zap"
)

// Endpoints returns the endpoints that the client spreads its requests over.
// The slice is the caller's.
func (c *Client) Endpoints() []string {
	if !c.made() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.endpoints)
}

// SetEndpoints replaces the endpoints. Connections to endpoints that stay are
// kept, those to others end with the requests on them; it does not wait for
// new ones. eps is copied. Malformed endpoints are left out, and where nothing
// remains the endpoints stay as they are: both are logged as warnings. It may
// be called at any time, from any goroutine; the last call wins.
func (c *Client) SetEndpoints(eps ...string) {
	if !c.made() {
		return
	}
	good := make([]string, 0, len(eps))
	for _, ep := range eps {
		if _, err := endpoint.Parse(ep); err != nil {
			c.GetLogger().Warn("endpoint left out", zap.Error(err))
			continue
		}
		good = append(good, ep)
	}
	if len(good) == 0 {
		c.GetLogger().Warn("endpoints not replaced", zap.Error(ErrNoAvailableEndpoints), zap.Strings("endpoints", eps))
		return
	}
	c.setEndpoints(good)
}

// setEndpoints takes over well-formed endpoints. The lock spans the hand-over
// to the resolver, so that Endpoints and the resolver agree on the last call.
func (c *Client) setEndpoints(eps []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	addresses, _ := resolve(c.table, eps)
	c.endpoints = eps
	if c.resolver != nil {
		c.resolver.Set(addresses)
	}
}

// countEndpoints is what the retrying connection goes by.
func (c *Client) countEndpoints() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.endpoints)
}

// Sync replaces the endpoints by the client URLs of the cluster's members, as
// the members themselves advertise them, scheme included. Learners, and members
// that have not started yet, are left out. It asks for a linearizable member
// list and waits for it as long as ctx allows. Where no member is left, or ctx
// or the client ends, the endpoints stay as they are and the error is
// ErrNoAvailableEndpoints, ctx's or the server's.
func (c *Client) Sync(ctx context.Context) error {
	if !c.made() {
		return ErrNoAvailableEndpoints
	}
	resp, err := pb.NewClusterClient(c.rpc).MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	if err != nil {
		return toErr(ctx, err)
	}
	var eps []string
	for _, m := range resp.GetMembers() {
		if m.GetName() != "" && !m.GetIsLearner() {
			eps = append(eps, m.GetClientURLs()...)
		}
	}
	if len(eps) == 0 {
		return ErrNoAvailableEndpoints
	}
	if _, err := resolve(nil, eps); err != nil {
		return err
	}
	c.setEndpoints(eps)
	return nil
}

// autoSync runs Sync every Config.AutoSyncInterval until the client is closed.
func (c *Client) autoSync() {
	for backoff.Wait(c.ctx, c.cfg.AutoSyncInterval) == nil {
		ctx, cancel := context.WithTimeout(origin.Client(c.ctx), autoSyncTimeout)
		err := c.Sync(ctx)
		cancel()
		if err != nil && c.ctx.Err() == nil {
			c.GetLogger().Warn("endpoints could not be synchronised", zap.Error(err))
		}
	}
}

// autoSyncTimeout bounds one automatic Sync.
const autoSyncTimeout = 5 * time.Second
