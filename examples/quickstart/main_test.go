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

// wantOnAFreshServer is what run prints on a server that nothing was written to, after its first
// line.
const wantOnAFreshServer = `
put and get
  put planet/venus = dry
  put planet/earth = dry
  put planet/mars = dry
  got planet/earth = dry of revision 3
  got planet/mars = dry of revision 4
  got planet/venus = dry of revision 2

compare and swap
  put planet/earth = warm at revision 5
  put wet if earth is of that revision: true
  put icy if earth is of that revision: false
  got planet/earth = wet instead

watch
  put weather = rain at revision 7, delete it, watch from there
  saw PUT weather "rain"
  saw DELETE weather ""

lease
  put visitor = here with a lease of 60 seconds
  renewed the lease for 60 seconds
  revoked the lease: 0 keys left

deleted all 3 keys
`

func TestRunOnItsOwnServer(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, ""))
	first, rest, _ := strings.Cut(out.String(), "\n")
	assert.Regexp(t, `^etcd at http://127\.0\.0\.1:\d+$`, first)
	assert.Equal(t, wantOnAFreshServer, rest)
}

func TestRunLeavesNoKeyOnNamedServers(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	endpoints := strings.Join(cluster.Endpoints(), ",")
	for range 2 {
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, endpoints))
		assert.Contains(t, out.String(), "etcd at "+endpoints+"\n")
		assert.Contains(t, out.String(), "deleted all 3 keys")
	}
	assert.Zero(t, countKeys(t, cluster))
}

func TestAnInterruptedRunLeavesNoKey(t *testing.T) {
	cluster := etcdtest.Start(t)
	ctx, interrupt := context.WithCancel(t.Context())
	err := run(ctx, callOn("watch", interrupt), cluster.Endpoints()[0])
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, countKeys(t, cluster))
}

func TestServersThatDoNotAnswerFailTheRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := run(ctx, io.Discard, "127.0.0.1:1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "put and get: ")
}

func TestAMalformedEndpointFailsTheRun(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), io.Discard, "ftp://nowhere"), "ftp://nowhere")
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
