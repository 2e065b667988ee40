package client_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// inChild is the environment variable of the child process of TestProxyOfTheEnvironment. The test
// needs a process of its own, because net/http reads the environment only once in a process.
const inChild = "ETCDCLIENT_TEST_IN_CHILD"

// TestProxyOfTheEnvironment: connections go through the CONNECT proxy that HTTPS_PROXY names. If a
// connection through the proxy is silent, the client moves its reads to another member.
func TestProxyOfTheEnvironment(t *testing.T) {
	if os.Getenv(inChild) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyOfTheEnvironment$",
			"-test.timeout=60s")
		cmd.Env = append(os.Environ(), inChild+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	a, b := etcdfake.New(t), etcdfake.New(t)
	silent := faultnet.New(t, b.Listen())
	p := startConnectProxy(t, map[string]string{"a.example:2379": a.Listen(),
		"b.example:2379": silent.Addr()})
	t.Setenv("NO_PROXY", "")
	t.Setenv("HTTPS_PROXY", "http://user:s3cr3tpw@"+p.addr)

	c := testclient.New(t, clientv3.Config{Endpoints: []string{"a.example:2379",
		"http://b.example:2379"}})
	testclient.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		return a.Calls("Range") > 0 && b.Calls("Range") > 0
	}, "both are asked")
	assert.Equal(t, "Basic dXNlcjpzM2NyM3Rwdw==", p.authorization.Load())
	silent.Blackhole(faultnet.Both)
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := c.Get(ctx, "k")
		cancel()
		require.NoError(t, err, "the connection is tracked: reads move to the other member")
	}

	direct := testclient.New(t, clientv3.Config{Endpoints: []string{a.Listen()}})
	_, err := direct.Get(t.Context(), "k")
	require.NoError(t, err, "loopback addresses are not proxied")
	without := testclient.New(t, clientv3.Config{Endpoints: []string{"a.invalid:1"},
		DialOptions: []grpc.DialOption{grpc.WithNoProxy()}})
	testclient.Eventually(t, func() bool {
		return without.ConnectionError() != nil
	}, "it cannot be resolved")
	for _, host := range []string{a.Listen(), "a.invalid:1"} {
		_, asked := p.requested.Load(host)
		assert.False(t, asked, "%s is reached without the proxy", host)
	}

	refused := testclient.New(t, clientv3.Config{Endpoints: []string{"unknown.example:1"}})
	testclient.Eventually(t, func() bool {
		return refused.ConnectionError() != nil
	}, "the proxy refuses")
	assert.ErrorContains(t, refused.ConnectionError(), "403 Forbidden")
	assert.NotContains(t, refused.ConnectionError().Error(), "s3cr3tpw")
}

// connectProxy is an HTTP proxy that finds the addresses of hosts in a table.
type connectProxy struct {
	addr          string
	hosts         map[string]string
	requested     sync.Map // the keys are the hosts that clients have asked for
	authorization atomic.Value
	serving       sync.WaitGroup
}

func startConnectProxy(t *testing.T, hosts map[string]string) *connectProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &connectProxy{addr: l.Addr().String(), hosts: hosts}
	var mu sync.Mutex
	var open []net.Conn
	p.serving.Go(func() { // ends when l is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			p.serving.Go(func() { p.serve(conn) }) // ends when conn is closed
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		p.serving.Wait()
	})
	return p
}

func (p *connectProxy) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.requested.Store(req.Host, true)
	p.authorization.Store(req.Header.Get("Proxy-Authorization"))
	target, err := net.Dial("tcp", p.hosts[req.Host])
	if req.Method != http.MethodConnect || err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\n\r\n")
		return
	}
	defer target.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	p.serving.Go(func() { // ends when either side is closed
		defer conn.Close()
		_, _ = io.Copy(conn, target)
	})
	_, _ = io.Copy(target, r)
}
