package etcdtest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestParseMetrics(t *testing.T) {
	got, err := parseMetrics([]byte(`# HELP a a counter
# TYPE a counter
a 3
b{x="1",y="two words"} 1.5e+03

c{le="+Inf"} +Inf
d -0.25
`))
	require.NoError(t, err)
	require.Equal(t, map[string]float64{
		"a": 3, `b{x="1",y="two words"}`: 1500, `c{le="+Inf"}`: math.Inf(1), "d": -0.25,
	}, got)

	for _, bad := range []string{"alone", "a three"} {
		_, err := parseMetrics([]byte(bad))
		require.ErrorContains(t, err, bad)
	}
}

func TestMetricsCountCallsAndStreams(t *testing.T) {
	c := Start(t)
	m := c.Members()[0]
	puts := []string{"grpc_server_handled_total", `grpc_method="Put"`, `grpc_code="OK"`}
	putGet(t, c, "v")
	require.Eventually(t, func() bool {
		n, err := m.Metric(puts...)
		return assert.NoError(t, err) && n == 1
	}, time.Minute, 10*time.Millisecond)

	requireStreams(t, m, 0)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	watch, err := pb.NewWatchClient(m.Conn(t)).Watch(ctx)
	require.NoError(t, err)
	require.NoError(t, watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")},
	}}))
	resp, err := watch.Recv()
	require.NoError(t, err)
	require.True(t, resp.Created)
	requireStreams(t, m, 1)
	cancel()
	requireStreams(t, m, 0)
}

func requireStreams(t *testing.T, m *Member, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		n, err := m.OpenStreams("Watch")
		return assert.NoError(t, err) && n == want
	}, time.Minute, 10*time.Millisecond)
}

func TestMetricErrors(t *testing.T) {
	m := Start(t).Members()[0]
	_, err := m.Metric("no_such_metric")
	require.ErrorContains(t, err, "no_such_metric")
	_, err = m.OpenStreams("NoSuchMethod")
	require.ErrorContains(t, err, "NoSuchMethod")
	m.Kill()
	_, err = m.Metrics()
	require.ErrorContains(t, err, "m0")
}
