package clientv3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

// namedEndpoint is a parsed endpoint and the text that it was parsed from.
type namedEndpoint struct {
	endpoint.Endpoint
	text string
}

func texts(eps []namedEndpoint) []string {
	var out []string
	for _, ep := range eps {
		out = append(out, ep.text)
	}
	return out
}

// Endpoints returns a copy of the client's endpoints.
func (c *Client) Endpoints() []string {
	if !c.made() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return texts(c.endpoints)
}

// SetEndpoints replaces the endpoints. It copies eps. It does not wait for new connections. It may
// be called at any time, from any goroutine; the last call wins.
//
// An endpoint that was already used keeps its connection, even if eps spells it in another way.
// Connections to endpoints that are not in eps are closed when their requests have finished.
// Watches and keepalives on these connections move to the new endpoints.
//
// Malformed endpoints are left out, and a warning names them without user information. If no
// well-formed endpoint remains, SetEndpoints replaces nothing.
func (c *Client) SetEndpoints(eps ...string) {
	if !c.made() {
		return
	}
	good, err := c.usable(eps)
	if err != nil {
		c.GetLogger().Warn("endpoints not replaced", zap.Error(err))
		return
	}
	c.setEndpoints(good, true)
}

// usable returns the well-formed endpoints among eps, and logs a warning about the malformed ones.
// It returns ErrNoAvailableEndpoints if eps is empty. If all endpoints are malformed, it returns
// their joined errors and logs nothing.
func (c *Client) usable(eps []string) (good []namedEndpoint, _ error) {
	var errs []error
	for _, text := range eps {
		if ep, err := c.parse(text); err != nil {
			errs = append(errs, err)
		} else {
			good = append(good, ep)
		}
	}
	err := errors.Join(errs...)
	switch {
	case len(eps) == 0:
		return nil, ErrNoAvailableEndpoints
	case len(good) == 0:
		return nil, err
	case err != nil:
		c.GetLogger().Warn("endpoints left out", zap.Error(err))
	}
	return good, nil
}

// parse parses the text of an endpoint. If the program has its own dialer, a text that cannot be
// parsed is passed to that dialer as it is. A blank text, such as that after a trailing comma, is
// always an error.
func (c *Client) parse(text string) (namedEndpoint, error) {
	ep, err := endpoint.Parse(text)
	if err != nil {
		if !c.user.dialer || strings.TrimSpace(text) == "" {
			return namedEndpoint{}, fmt.Errorf("etcdclient: %w", err)
		}
		ep = endpoint.Raw(text)
	}
	return namedEndpoint{ep, text}, nil
}

// setEndpoints stores eps and passes them to the resolver. It holds the lock for both, so that
// Endpoints always returns what the resolver has. byCaller is true if the program gave eps to New
// or SetEndpoints, and false if eps come from the cluster (Sync).
func (c *Client) setEndpoints(eps []namedEndpoint, byCaller bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if byCaller {
		c.named = eps
	}
	c.endpoints = eps
	if c.resolver != nil {
		addresses, _ := c.resolve(c.tracker, eps)
		c.resolver.Set(addresses)
	}
}

// secure changes http to https in eps if New or SetEndpoints was given an encrypted endpoint.
// Otherwise an http URL that a member advertises could turn TLS off. secure keeps http for an
// address that New or SetEndpoints was given without TLS.
func (c *Client) secure(eps []namedEndpoint) {
	c.mu.Lock()
	named := c.named
	c.mu.Unlock()
	encrypted, plain := false, map[string]bool{}
	for _, ep := range named {
		encrypted = encrypted || c.creds.Encrypts(ep.Security)
		plain[ep.Address] = plain[ep.Address] || !c.creds.Encrypts(ep.Security)
	}
	for i := range eps {
		if ep := &eps[i]; encrypted && ep.Security == endpoint.Plain && !plain[ep.Address] {
			ep.Security = endpoint.Encrypted
			// URL.String escapes the zone of an IPv6 address, as URLs require.
			ep.text = (&url.URL{Scheme: "https", Host: ep.Address}).String()
		}
	}
}

// Sync replaces the endpoints by the client URLs in the cluster's member list. It asks for a
// linearizable list, and waits for the list until ctx ends.
//
// Sync leaves out learners and members that have not started. It also leaves out malformed URLs,
// and logs a warning about them. If New or SetEndpoints was given an encrypted endpoint, Sync
// changes http URLs to https. It keeps an http URL whose own address New or SetEndpoints was given
// without TLS.
//
// If Sync returns an error, the endpoints stay as they are. The error is one of:
//
//   - ErrNoAvailableEndpoints: the member list has no URL, or the client has no connection.
//   - an error that names the URLs: all URLs are malformed.
//   - the error of ctx or of the request.
func (c *Client) Sync(ctx context.Context) error {
	if !c.made() {
		return ErrNoAvailableEndpoints
	}
	resp, err := unary(ctx, RetryClusterClient(c).MemberList,
		&pb.MemberListRequest{Linearizable: true})
	if err != nil {
		return err
	}
	var eps []string
	for _, m := range resp.GetMembers() {
		if m.GetName() != "" && !m.GetIsLearner() {
			eps = append(eps, m.GetClientURLs()...)
		}
	}
	good, err := c.usable(eps)
	if err != nil {
		return err
	}
	c.secure(good)
	c.setEndpoints(good, false)
	return nil
}

// autoSync calls Sync after each Config.AutoSyncInterval until the client is closed.
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

// autoSyncTimeout bounds each Sync that autoSync calls.
const autoSyncTimeout = 5 * time.Second

// rejectOldCluster asks all endpoints in parallel for their versions, if Config.RejectOldCluster is
// set. It returns ErrOldCluster if a version is older than 3.6. If no endpoint answers within the
// dial timeout, it returns the errors of the requests.
func (c *Client) rejectOldCluster() error {
	if !c.cfg.RejectOldCluster {
		return nil
	}
	ctx, cancel := context.WithTimeout(origin.Client(c.ctx), c.cfg.DialTimeout)
	defer cancel()
	eps := c.Endpoints()
	errs := make([]error, len(eps))
	var asking sync.WaitGroup
	for i, ep := range eps {
		// checkVersion ends when ctx ends, at the latest; Wait below waits for the goroutine.
		asking.Go(func() { errs[i] = c.checkVersion(ctx, ep) })
	}
	asking.Wait()
	err := errors.Join(errs...)
	switch {
	case errors.Is(err, ErrOldCluster):
		return ErrOldCluster
	case slices.Contains(errs, nil):
		return nil
	}
	return err
}

// checkVersion asks one endpoint for its version. It returns ErrOldCluster if the version is older
// than 3.6.
func (c *Client) checkVersion(ctx context.Context, ep string) error {
	conn, err := c.Dial(ep)
	if err != nil {
		return err
	}
	defer conn.Close()
	resp, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{},
		grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("etcdclient: version of %s: %w", endpoint.Redact(ep), toErr(ctx, err))
	}
	v, err := semver.NewVersion(resp.GetVersion())
	if err != nil {
		return fmt.Errorf("etcdclient: version %q of %s: %w", resp.GetVersion(),
			endpoint.Redact(ep), err)
	}
	if v.LessThan(version.V3_6) {
		return ErrOldCluster
	}
	return nil
}
