package resolver

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a fake connection that records the states which a resolver reports to it.
type recorder struct {
	resolver.ClientConn
	mu     sync.Mutex
	states []resolver.State
}

func (r *recorder) UpdateState(s resolver.State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, s)
	return errors.New("closing")
}

func (r *recorder) ParseServiceConfig(js string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{Err: errors.New(js)}
}

func (r *recorder) last() resolver.State { return r.states[len(r.states)-1] }

func TestAddressesReachTheConnection(t *testing.T) {
	a, b := resolver.Address{Addr: "a:1", ServerName: "a.example:1"}, resolver.Address{Addr: "b:1"}
	r := New("the config", attributes.New("key", "value"), []resolver.Address{a})
	assert.Equal(t, "etcd-endpoints:///a.example:1", r.Target())
	assert.Equal(t, Scheme, r.Scheme())
	assert.Equal(t, "a.example:1", r.OverrideAuthority(resolver.Target{}))

	r.Set([]resolver.Address{b}) // before the connection calls Build
	conn := &recorder{}
	built, err := r.Build(resolver.Target{}, conn, resolver.BuildOptions{})
	require.NoError(t, err)
	require.Len(t, conn.states, 1)
	assert.Equal(t, []resolver.Address{b}, conn.last().Addresses)
	assert.Equal(t, "value", conn.last().Attributes.Value("key"))
	assert.EqualError(t, conn.last().ServiceConfig.Err, "the config")

	r.Set([]resolver.Address{a, b})
	assert.Equal(t, []resolver.Address{a, b}, conn.last().Addresses)
	built.ResolveNow(resolver.ResolveNowOptions{})
	built.Close()
	assert.Len(t, conn.states, 2)
	assert.Equal(t, "a.example:1", r.OverrideAuthority(resolver.Target{}), "the authority stays")
}

// TestLastSetWins: after concurrent calls of Set, in whatever order, the connection has the
// addresses that the resolver has.
func TestLastSetWins(t *testing.T) {
	r := New("", nil, nil)
	conn := &recorder{}
	_, err := r.Build(resolver.Target{}, conn, resolver.BuildOptions{})
	require.NoError(t, err)
	var work sync.WaitGroup
	for _, addr := range []string{"a", "b", "c", "d"} {
		work.Go(func() { r.Set([]resolver.Address{{Addr: addr}}) })
	}
	work.Wait()
	assert.Equal(t, r.addresses, conn.last().Addresses)
	assert.Len(t, conn.states, 5)
}
