package client_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestCopyOfAClientIsThatClient: programs copy the Client struct, so go vet must find no lock in
// it. A copy works on the same connection, and its Close closes the original.
func TestCopyOfAClientIsThatClient(t *testing.T) {
	s := etcdfake.Start(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Logger: zap.NewNop()})
	require.NoError(t, err)
	_, err = c.Put(t.Context(), "k", "v")
	require.NoError(t, err)

	clone := *c
	_, err = clone.Get(t.Context(), "k")
	require.NoError(t, err)
	w := clone.Watch(t.Context(), "k")
	clone.SetEndpoints("127.0.0.1:1")
	assert.Equal(t, []string{"127.0.0.1:1"}, c.Endpoints())

	require.NoError(t, clone.Close())
	for range w { // the Close of the copy closes the channel w
	}
	require.ErrorIs(t, c.Ctx().Err(), context.Canceled)
	_, err = c.Get(t.Context(), "k")
	assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
	require.NoError(t, c.Close())
}

// TestZeroClient: programs embed a zero Client in their fakes. Its methods return errors and do not
// panic.
func TestZeroClient(t *testing.T) {
	for name, c := range map[string]*clientv3.Client{"zero": {},
		"copy of zero": func() *clientv3.Client {
			var z clientv3.Client
			c := z
			return &c
		}()} {
		t.Run(name, func(t *testing.T) {
			assert.NoError(t, c.Ctx().Err())
			assert.Empty(t, c.Endpoints())
			assert.Nil(t, c.ActiveConnection())
			assert.NotNil(t, c.GetLogger())
			c.SetEndpoints("127.0.0.1:1")
			assert.Equal(t, clientv3.ErrNoAvailableEndpoints, c.Sync(t.Context()))
			_, err := c.Dial("127.0.0.1:1")
			assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
			lg, _ := testclient.Observed(zap.WarnLevel)
			assert.Same(t, lg, c.WithLogger(lg).GetLogger())
			require.NoError(t, c.Close())
			require.NoError(t, c.Close())
		})
	}
}

func TestWithRequireLeaderKeepsMetadata(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "custom", "1", "custom", "2")
	before, _ := metadata.FromOutgoingContext(ctx)
	led := clientv3.WithRequireLeader(clientv3.WithRequireLeader(ctx))
	md, _ := metadata.FromOutgoingContext(led)
	assert.Equal(t, []string{"1", "2"}, md.Get("custom"))
	assert.Equal(t, []string{rpctypes.MetadataHasLeader}, md.Get(rpctypes.MetadataRequireLeaderKey))
	after, _ := metadata.FromOutgoingContext(ctx)
	assert.Equal(t, before, after, "the caller's context stays as it was")

	s, c := testclient.StartFake(t, clientv3.Config{})
	_, err := c.Put(led, "k", "v")
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2"}, s.LastMetadata("Put").Get("custom"))
	assert.Equal(t, []string{"true"}, s.LastMetadata("Put").Get("hasleader"))
}
