package main

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/etcdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunPrintsWhatAScrapeWouldRead(t *testing.T) {
	cluster := etcdtest.Start(t)
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, cluster.Endpoints()))
	for _, method := range []string{"Put", "Range"} {
		labels := `{grpc_code="OK",grpc_method="` + method + `",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`
		assert.Contains(t, out.String(), "grpc_client_handled_total"+labels)
	}
	assert.Contains(t, out.String(), "grpc_client_handling_seconds_bucket")
}

// A read that is repeated is one request of the program and two attempts: the metrics show the attempts.
func TestEveryAttemptIsCounted(t *testing.T) {
	server := etcdfake.Start(t)
	server.Fail("Range", 1, status.Error(codes.Unavailable, "try again"))
	registry := prometheus.NewRegistry()
	client, err := measured(clientv3.Config{Endpoints: []string{server.Addr()}}, registry)
	require.NoError(t, err)
	defer func() { assert.NoError(t, client.Close()) }()
	_, err = client.Get(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, 2, server.Calls("Range"))

	var out strings.Builder
	require.NoError(t, print(&out, registry))
	for _, code := range []string{"OK", "Unavailable"} {
		assert.Contains(t, out.String(), `grpc_client_handled_total{grpc_code="`+code+`",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`)
	}
}
