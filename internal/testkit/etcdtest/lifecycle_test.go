package etcdtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestKillAndRestartKeepDataAndPorts(t *testing.T) {
	t.Parallel()
	c := Start(t)
	m := c.Members()[0]
	endpoint, id := m.Endpoint(), m.ID()
	putGet(t, c, "v")
	kv := pb.NewKVClient(m.Conn(t))

	m.Kill()
	m.Kill() // does nothing
	require.False(t, m.Running())
	_, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)

	require.NoError(t, m.Restart())
	require.True(t, m.Running())
	require.Equal(t, endpoint, m.Endpoint())
	require.Equal(t, id, m.ID())
	requireValue(t, pb.NewKVClient(c.Pb(t)), "v")
}

func TestRestartOfARunningMemberKillsItFirst(t *testing.T) {
	t.Parallel()
	c := Start(t)
	m := c.Members()[0]
	before := m.process()
	require.NoError(t, m.Restart())
	require.False(t, before.running())
	putGet(t, c, "v")
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	c := Start(t)
	m := c.Members()[0]
	require.NoError(t, m.Pause()) // a paused process does not see the signal before it is resumed
	require.NoError(t, m.Terminate())
	require.NoError(t, m.Terminate())
	require.False(t, m.Running())
	require.Contains(t, string(m.logEnds(20)), "received signal")
	require.NoError(t, m.Restart())
	putGet(t, c, "v")
}

func TestPausedMemberIsSilentUntilResumed(t *testing.T) {
	t.Parallel()
	c := Start(t)
	m := c.Members()[0]
	putGet(t, c, "v")
	kv := pb.NewKVClient(m.Conn(t))
	requireValue(t, kv, "v")

	require.NoError(t, m.Pause())
	require.False(t, m.Running())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err), "%v", err)

	require.NoError(t, m.Resume())
	require.NoError(t, m.Resume()) // does nothing
	require.True(t, m.Running())
	requireValue(t, kv, "v")
	m.Kill()
	require.ErrorIs(t, m.Pause(), errNotRunning)
}

func TestAnotherMemberLeadsWhenTheLeaderIsGone(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMembers(3))
	first := c.Leader()
	require.NotNil(t, first)
	require.NoError(t, first.Pause())
	second := c.Leader()
	require.NotNil(t, second)
	require.NotSame(t, first, second)
	second.Kill()
	require.NoError(t, first.Resume())
	third, err := c.WaitLeader(testContext(t))
	require.NoError(t, err)
	require.NotSame(t, second, third)
	require.NoError(t, second.Restart())
	putGet(t, c, "w")
}

// Without a majority a member cannot serve, so Restart must not wait until the member serves.
func TestRestartWithoutMajority(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMembers(3))
	putGet(t, c, "v")
	c.Kill()
	ms := c.Members()
	require.NoError(t, ms[0].Restart())
	require.True(t, ms[0].Running())
	require.Error(t, ms[0].checkServing(testContext(t)))
	require.NoError(t, ms[1].Restart(), "two of three serve")
	requireValue(t, pb.NewKVClient(ms[0].Conn(t)), "v")
	require.NoError(t, c.Restart())
	putGet(t, c, "w")
}

func TestAddVoter(t *testing.T) {
	t.Parallel()
	c := Start(t, WithArgs("--heartbeat-interval=50", "--election-timeout=500"))
	putGet(t, c, "v")
	m, err := c.AddMember(false)
	require.NoError(t, err)
	require.Len(t, c.Endpoints(), 2)
	requireValue(t, pb.NewKVClient(m.Conn(t)), "v")
	m.Kill()
	require.NoError(t, m.Restart())
	putGet(t, c, "w")
}

func TestAddLearner(t *testing.T) {
	t.Parallel()
	c := Start(t)
	m, err := c.AddMember(true)
	require.NoError(t, err)
	conn := m.Conn(t)
	resp, err := pb.NewMaintenanceClient(conn).Status(testContext(t), &pb.StatusRequest{})
	require.NoError(t, err)
	require.True(t, resp.IsLearner)
	require.Equal(t, m.ID(), resp.Header.MemberId)
	_, err = pb.NewKVClient(conn).Put(testContext(t), &pb.PutRequest{Key: []byte("k")})
	require.ErrorContains(t, err, "rpc not supported for learner")
	require.Same(t, c.Members()[0], c.Leader())
}

// recordingTB is a testing.TB that reports a failed test. It records log lines and clean-up
// functions.
type recordingTB struct {
	testing.TB
	cleanups []func()
	logs     []any
}

func (r *recordingTB) Failed() bool               { return true }
func (r *recordingTB) Cleanup(f func())           { r.cleanups = append(r.cleanups, f) }
func (r *recordingTB) Logf(_ string, args ...any) { r.logs = append(r.logs, args...) }

func TestFailedTestPrintsAndKeepsTheLogs(t *testing.T) {
	t.Parallel()
	tb := &recordingTB{TB: t}
	c := Start(tb, WithTLS())
	m := c.Members()[0]
	for _, f := range tb.cleanups {
		f()
	}
	t.Cleanup(func() { require.NoError(t, c.Close()) }) // removes what was kept
	require.False(t, m.Running())
	require.FileExists(t, m.LogFile())
	require.NoDirExists(t, m.dataDir())
	require.NoFileExists(t, c.CAFile())
	printed := false
	for _, arg := range tb.logs {
		if text, ok := arg.([]byte); ok {
			printed = assert.Contains(t, string(text), "ready to serve client requests")
		}
	}
	require.True(t, printed)
}
