package etcdtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSharedStartsOneCluster: two calls of Endpoints start one cluster.
func TestSharedStartsOneCluster(t *testing.T) {
	var s Shared
	first := s.Endpoints()
	require.Equal(t, first, s.Endpoints())
	require.True(t, s.cluster.Members()[0].Running())
	require.NoError(t, s.cluster.Close())
	require.False(t, s.cluster.Members()[0].Running())
}
