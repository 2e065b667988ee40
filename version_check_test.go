package clientv3

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"
)

func TestRejectOldCluster(t *testing.T) {
	for _, tc := range []struct {
		versions []string
		want     string
	}{
		{[]string{"3.5.21"}, "old cluster version"},
		{[]string{"3.6.0-alpha.0"}, "old cluster version"},
		{[]string{"3.6.0"}, ""},
		{[]string{"3.7.3", "3.6.5", "4.0.0"}, ""},
		{[]string{"3.7.3", "3.4.0"}, "old cluster version"},
		{[]string{"seven"}, `version "seven" of 127.0.0.1:`},
		{[]string{"seven", "3.7.3"}, ""},
	} {
		var eps []string
		for _, v := range tc.versions {
			eps = append(eps, etcdfake.Start(t, etcdfake.WithVersion(v)).Addr())
		}
		c, err := New(Config{Endpoints: eps, RejectOldCluster: true, Logger: zap.NewNop()})
		if tc.want != "" {
			require.ErrorContains(t, err, tc.want, "%v", tc.versions)
			assert.Equal(t, tc.want == "old cluster version", err == ErrOldCluster) //nolint:errorlint // that == works is the point
			continue
		}
		require.NoError(t, err, "%v", tc.versions)
		require.NoError(t, c.Close())
	}
}

func TestRejectOldClusterIsBounded(t *testing.T) {
	dead := "127.0.0.1:1"
	cfg := Config{Endpoints: []string{dead}, RejectOldCluster: true, Logger: zap.NewNop(), DialTimeout: 100 * time.Millisecond}
	_, err := New(cfg)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, dead)
	cfg.Endpoints = append(cfg.Endpoints, etcdfake.Start(t).Addr())
	c, err := New(cfg)
	require.NoError(t, err, "one member that answers is enough")
	require.NoError(t, c.Close())
}

func TestWithRequireLeaderKeepsMetadata(t *testing.T) {
	ctx := metadata.AppendToOutgoingContext(t.Context(), "custom", "1", "custom", "2")
	before, _ := metadata.FromOutgoingContext(ctx)
	led := WithRequireLeader(WithRequireLeader(ctx))
	md, _ := metadata.FromOutgoingContext(led)
	assert.Equal(t, []string{"1", "2"}, md.Get("custom"))
	assert.Equal(t, []string{rpctypes.MetadataHasLeader}, md.Get(rpctypes.MetadataRequireLeaderKey))
	after, _ := metadata.FromOutgoingContext(ctx)
	assert.Equal(t, before, after, "the caller's context stays as it was")

	s, c := newFakeClient(t, Config{})
	_, err := c.Put(led, "k", "v")
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2"}, s.LastMetadata("Put").Get("custom"))
	assert.Equal(t, []string{"true"}, s.LastMetadata("Put").Get("hasleader"))
}
