package clientv3

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.uber.org/zap"
)

// ConnectionError returns why no member can be reached: for each endpoint how the
// last attempt to connect to it has failed (refused, a bad certificate, no such
// host, and so on). It is nil while any endpoint is connected, and before the first
// attempt has failed. After Close it is what it was; for a client without a
// connection (see NewCtxClient) it is ErrNoAvailableEndpoints.
//
// It is meant to explain a call that ended with context.DeadlineExceeded. It sends
// nothing, does not block, and may be called from any goroutine. The error wraps
// those of the endpoints, for errors.As; its text has no passwords.
func (c *Client) ConnectionError() error {
	if !c.made() || c.failures == nil {
		return ErrNoAvailableEndpoints
	}
	last := c.failures.Last()
	if len(last) == 0 {
		return nil
	}
	u := &unreachable{}
	for _, address := range slices.Sorted(maps.Keys(last)) {
		u.failures = append(u.failures, fmt.Errorf("%s: %w", endpoint.Redact(address), last[address]))
	}
	return u
}

// unreachable holds the failure of each endpoint.
type unreachable struct{ failures []error }

func (u *unreachable) Error() string {
	texts := make([]string, len(u.failures))
	for i, err := range u.failures {
		texts[i] = err.Error()
	}
	return "etcdclient: no member can be reached: " + userInfo.ReplaceAllString(strings.Join(texts, "; "), "://***@")
}

// Unwrap returns the failures.
func (u *unreachable) Unwrap() []error { return u.failures }

// userInfo matches the user and password of a URL, which a dialer's error may print.
var userInfo = regexp.MustCompile(`://[^/@\s"]*@`)

// logUnreachable warns that no member can be reached. It is called once a minute at
// most, by gRPC: it takes no lock that is held while gRPC is called.
func (c *Client) logUnreachable() {
	if err := c.ConnectionError(); err != nil {
		c.GetLogger().Warn("no member can be reached", zap.Error(err))
	}
}
