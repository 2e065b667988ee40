package client_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestMemberThatAnswersNoHealthCheckServes: if a server accepts a health check and never answers
// it, the client sends it requests within five seconds.
func TestMemberThatAnswersNoHealthCheckServes(t *testing.T) {
	fake := etcdfake.Start(t)
	fake.Stream(healthpb.Health_Watch_FullMethodName, func(ss grpc.ServerStream) error {
		<-ss.Context().Done()
		return ss.Context().Err()
	})
	c := testclient.OpenFake(t, fake)
	took := testclient.Stopwatch(t)
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Less(t, took(), 5*time.Second)
}

// TestStreamsAvoidAMemberWithoutALeader: no watch stream goes to a member that refuses requests
// because it has no leader. Such a member would accept the stream and send no event.
func TestStreamsAvoidAMemberWithoutALeader(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	var endpoints []string
	for _, m := range members {
		endpoints = append(endpoints, m.Addr())
	}
	c := testclient.New(t, clientv3.Config{Endpoints: endpoints})
	members[0].Fail("Range", etcdfake.Forever, rpctypes.ErrGRPCNoLeader)
	for members[0].Calls("Range") == 0 {
		_, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
	}
	c.Watch(t.Context(), "k")
	for range 20 {
		at := streamMember(t, members)
		require.False(t, at == members[0], "the stream is on the member without a leader")
		at.Break("Watch", status.Error(codes.Unavailable, "moved"))
		testclient.Eventually(t, func() bool {
			open, _ := at.Streams("Watch")
			return open == 0
		}, "the stream has ended")
		_, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
	}
}

// streamMember waits for a watch stream and returns the member that has it.
func streamMember(t *testing.T, members []*etcdfake.Server) (at *etcdfake.Server) {
	t.Helper()
	testclient.Eventually(t, func() bool {
		for _, m := range members {
			if open, _ := m.Streams("Watch"); open > 0 {
				at = m
				return true
			}
		}
		return false
	}, "a watch stream is open")
	return at
}
