package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAScrapeReadsTheCallsOfEitherLibrary(t *testing.T) {
	cluster := etcdtest.Start(t)
	for name, measured := range map[string]measurer{
		"go-grpc-prometheus": measured, "go-grpc-middleware": measuredBySuccessor,
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, scrape(t.Context(), &out, cluster.Endpoints(), measured))
			for _, method := range []string{"Put", "Range"} {
				labels := `{grpc_code="OK",grpc_method="` + method +
					`",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`
				assert.Contains(t, out.String(), "grpc_client_handled_total"+labels)
			}
			assert.Contains(t, out.String(), "grpc_client_handling_seconds_bucket")
		})
	}
}

// A read that is repeated is one request of the program and two attempts: the metrics show the
// attempts.
func TestEveryAttemptIsCounted(t *testing.T) {
	server := etcdfake.New(t)
	server.On("Range", func(call *etcdfake.Call) etcdfake.Action {
		if call.Number == 1 {
			return etcdfake.Refuse(status.Error(codes.Unavailable, "try again"))
		}
		return etcdfake.Pass()
	})
	registry := prometheus.NewRegistry()
	client, err := measured(clientv3.Config{Endpoints: []string{server.Listen()}}, registry)
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

// The client's documentation uses the global interceptors of go-grpc-prometheus. These count calls
// that succeed, and also calls whose context ends because no member can be reached.
func TestGlobalInterceptorsWithAndWithoutAMember(t *testing.T) {
	server := etcdfake.New(t)
	for endpoint, tt := range map[string]struct {
		err  error
		code string
	}{
		server.Listen(): {nil, "OK"},
		"127.0.0.1:1":   {context.DeadlineExceeded, "DeadlineExceeded"},
	} {
		registry := prometheus.NewRegistry()
		require.NoError(t, registry.Register(grpcprom.DefaultClientMetrics))
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint},
			DialOptions: []grpc.DialOption{
				grpc.WithUnaryInterceptor(grpcprom.UnaryClientInterceptor),
				grpc.WithStreamInterceptor(grpcprom.StreamClientInterceptor),
			}})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err = client.Get(ctx, "key")
		cancel()
		assert.True(t, err == tt.err, "%v", err)
		require.NoError(t, client.Close())

		var out strings.Builder
		require.NoError(t, print(&out, registry))
		assert.Contains(t, out.String(), `grpc_client_handled_total{grpc_code="`+tt.code+`",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`)
	}
}

// print writes metrics in the text format of Prometheus.
func print(out io.Writer, registry prometheus.Gatherer) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return err
		}
	}
	return nil
}
