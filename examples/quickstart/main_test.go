package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunLeavesNoKeyOnNamedServers(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	for range 2 {
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, cluster.Endpoints()))
		assert.Contains(t, out.String(), "etcd at "+strings.Join(cluster.Endpoints(), ",")+"\n")
		assert.Contains(t, out.String(), "deleted all 3 keys")
	}
	assert.Zero(t, countKeys(t, cluster))
}

func TestAnInterruptedRunLeavesNoKey(t *testing.T) {
	cluster := etcdtest.Start(t)
	ctx, interrupt := context.WithCancel(t.Context())
	err := run(ctx, callOn("watch", interrupt), cluster.Endpoints())
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, countKeys(t, cluster))
}

func TestServersThatDoNotAnswerFailTheRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := run(ctx, io.Discard, []string{"127.0.0.1:1"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "put and get: ")
}

func TestAMalformedEndpointFailsTheRun(t *testing.T) {
	err := run(t.Context(), io.Discard, []string{"ftp://nowhere"})
	require.ErrorContains(t, err, "ftp://nowhere")
}

// callOn returns a writer that calls fn when a line with text is written.
func callOn(text string, fn func()) io.Writer { return writer{text, fn} }

type writer struct {
	text string
	fn   func()
}

func (w writer) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.fn()
	}
	return len(p), nil
}

func countKeys(t *testing.T, cluster *etcdtest.Cluster) int64 {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
	require.NoError(t, err)
	defer client.Close()
	resp, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	return resp.Count
}
