package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// held returns the result of a run in which the test B skips itself, because it has seen a
// goroutine with the given stack.
func held(t *testing.T, stack string) *result {
	t.Helper()
	said, err := json.Marshal(event{Action: "output", Test: "B",
		Output: heldUpBy + " appears to have leaked :\n" + stack})
	require.NoError(t, err)
	return collected(t, `{"Action":"pass","Test":"A"}`, `{"Action":"run","Test":"B"}`, string(said),
		`{"Action":"skip","Test":"B"}`,
		`{"Action":"skip","Test":"C"}`, `{"Action":"pass"}`)
}

func TestHeldUpByServers(t *testing.T) {
	r := held(t, "go.etcd.io/etcd/server/v3/etcdserver.(*EtcdServer).run(...)\ncreated by go.etcd.io/etcd/client/pkg/v3/x")
	assert.Equal(t, []string{"B"}, r.heldUp())
	r.replace("B", collected(t, `{"Action":"run","Test":"B"}`, `{"Action":"pass","Test":"B/x"}`,
		`{"Action":"pass","Test":"B"}`, `{"Action":"pass"}`))
	assert.Equal(t, []string{"A", "B/x", "B"}, r.passed)
	assert.Equal(t, []string{"C"}, r.skipped)
	assert.Empty(t, r.failed)

	r = held(t, "")
	assert.Equal(t, []string{"B"}, r.heldUp(), "gone before it was looked at")
	r.replace("B", collected(t, `{"Action":"run","Test":"B"}`,
		`{"Action":"output","Test":"B","Output":"why"}`, `{"Action":"fail","Test":"B"}`,
		`{"Action":"fail"}`))
	assert.Equal(t, []string{"B"}, r.failed)
	assert.Contains(t, r.story("B"), "why")
}

// TestHeldUpByTheClient: a test that skips itself because of a goroutine that the client has leaked
// counts as failed.
func TestHeldUpByTheClient(t *testing.T) {
	for _, stack := range []string{
		"go.etcd.io/etcd/client/v3.(*watcher).x(...)",
		"go.etcd.io/etcd/client/v3/internal/bidi.(*Link[...]).run(...)",
		"google.golang.org/grpc/internal/transport.(*http2Client).reader(...)",
		"google.golang.org/grpc.(*addrConn).resetTransport(...)",
	} {
		r := held(t, stack)
		assert.Empty(t, r.heldUp())
		assert.Equal(t, []string{"B"}, r.failed, stack)
		assert.Equal(t, []string{"C"}, r.skipped)
		assert.Contains(t, r.story("B"), stack)
	}
}

func TestExactly(t *testing.T) {
	assert.Equal(t, `^TestA$/^x=\{y\}$`, exactly("TestA/x={y}"))
}
