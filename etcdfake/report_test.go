package etcdfake_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// watchedTB is the testing.TB of a cluster under test. It records what the cluster logs and
// reports.
type watchedTB struct {
	testing.TB
	failed   bool
	mu       sync.Mutex
	lines    []string
	cleanups []func()
}

func (w *watchedTB) Helper()                   {}
func (w *watchedTB) Cleanup(f func())          { w.cleanups = append(w.cleanups, f) }
func (w *watchedTB) Failed() bool              { return w.failed }
func (w *watchedTB) Log(args ...any)           { w.line(fmt.Sprint(args...)) }
func (w *watchedTB) Error(args ...any)         { w.line("failed: " + fmt.Sprint(args...)) }
func (w *watchedTB) Errorf(f string, a ...any) { w.line("failed: " + fmt.Sprintf(f, a...)) }

// Fatalf records the failure and ends the goroutine, as [testing.T.Fatalf] does.
func (w *watchedTB) Fatalf(format string, args ...any) {
	w.line("failed: " + fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (w *watchedTB) line(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, s)
}

func (w *watchedTB) end() string {
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "\n")
}

// The report at the end of a test lists what the test has left open. If the test has failed, the
// report also lists the calls that the cluster has received.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &watchedTB{TB: t, failed: true}
		c := etcdfake.New(tb, etcdfake.WithUsers(etcdfake.User{Name: "root", Password: "secret"}))
		conn := dial(t, c)
		ctx := metadata.AppendToOutgoingContext(t.Context(), "token", token(t, conn))
		_, err := pb.NewLeaseClient(conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 7, TTL: 60})
		require.NoError(t, err)
		kv := pb.NewKVClient(conn)
		_, err = kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Lease: 7})
		require.NoError(t, err)
		w, err := pb.NewWatchClient(conn).Watch(ctx)
		require.NoError(t, err)
		require.NoError(t, w.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{Key: []byte("watched")}}}))
		c.On("DeleteRange", func(call *etcdfake.Call) etcdfake.Action {
			<-call.Context().Done()
			return etcdfake.Pass()
		})
		go func() { _, _ = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("frozen")}) }()
		synctest.Wait()
		report := tb.end()
		for _, want := range []string{
			`at the end of the test a call still waits:`, `DeleteRange key:"frozen" → waits`,
			`at the end of the test a watch is open: member 0, stream 1, key:"watched"`,
			`at the end of the test a lease is not revoked: 7, of 1m0s, with the keys ["k"]`,
			`member 0: Put key:"k" lease:7 → OK`, `member 0: Authenticate → OK`,
		} {
			assert.Contains(t, report, want)
		}
		assert.NotContains(t, report, "secret")
	})
}

// If a test leaves a call, a watch or a lease open, the report shows the line of the test's code
// that started the call or watch, or granted the lease. Calls and watches that ended with their
// context are not in the report.
func TestReportNamesLinesOfTheTest(t *testing.T) {
	tb := &watchedTB{TB: t}
	c := etcdfake.New(tb)
	client := c.Client()
	frozen := make(chan struct{})
	c.On("DeleteRange", func(call *etcdfake.Call) etcdfake.Action {
		frozen <- struct{}{}
		<-call.Context().Done()
		return etcdfake.Pass()
	})
	leaveOpen(t, t.Context(), client, "left", frozen)
	ctx, cancel := context.WithCancel(t.Context())
	leaveOpen(t, ctx, client, "ended", frozen)
	cancel()
	report := tb.end()
	_, file, _, _ := runtime.Caller(0)
	for want, times := range map[string]int{
		`DeleteRange key:"left" → waits, from ` + file: 1,
		`a watch is open: member 0, stream `:           1,
		`key:"left" range_end:"lefu", from ` + file:    1,
		`a lease is not revoked: `:                     2,
		`, with the keys [], from ` + file:             2,
		`(etcdfake_test.leaveOpen)`:                    3,
		"google.golang.org":                            0,
	} {
		assert.Equal(t, times, strings.Count(report, want), "%s\nin\n%s", want, report)
	}
}

func leaveOpen(
	t *testing.T, ctx context.Context, client *clientv3.Client, key string,
	frozen <-chan struct{},
) {
	t.Helper()
	_, err := client.Grant(ctx, 60)
	require.NoError(t, err)
	<-client.Watch(ctx, key, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	go func() { _, _ = client.Delete(ctx, key) }()
	<-frozen
}

func dial(t *testing.T, c *etcdfake.Cluster) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(c.Endpoints()[0], "http://"),
		grpc.WithContextDialer(c.Dialer()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func token(t *testing.T, conn *grpc.ClientConn) string {
	t.Helper()
	resp, err := pb.NewAuthClient(conn).Authenticate(t.Context(),
		&pb.AuthenticateRequest{Name: "root", Password: "secret"})
	require.NoError(t, err)
	return resp.Token
}

// If a test leaves many leases unrevoked, the report describes a few of them and counts the rest.
func TestReportIsShort(t *testing.T) {
	tb := &watchedTB{TB: t}
	client := etcdfake.New(tb).Client()
	for range 30 {
		_, err := client.Grant(t.Context(), 60)
		require.NoError(t, err)
	}
	report := tb.end()
	assert.Equal(t, 21, strings.Count(report, "a lease is not revoked: "))
	assert.Contains(t, report, "a lease is not revoked: and 10 more")
}

// Each wrong use of a cluster fails the test, with a sentence that names the mistake.
func TestBadUse(t *testing.T) {
	for want, use := range map[string]func(*etcdfake.Cluster){
		`On of the method "Pit", which etcd does not have`: func(c *etcdfake.Cluster) {
			c.On("Pit", nil)
		},
		`Calls of the method "Pit", which etcd does not have`: func(c *etcdfake.Cluster) {
			c.Calls("Pit")
		},
		`EndStreams of the method "Pit", which etcd does not have`: func(c *etcdfake.Cluster) {
			c.Member(0).EndStreams("Pit", nil)
		},
		`Streams of the method "Pit", which etcd does not have`: func(c *etcdfake.Cluster) {
			c.Member(0).Streams("Pit")
		},
		"On of /etcdserverpb.KV/Put has edited another message": func(c *etcdfake.Cluster) {
			c.On("Put", etcdfake.Times(1, etcdfake.Edit(func(*pb.RangeResponse) {})))
			_, _ = c.Client().Put(context.Background(), "k", "v")
		},
		"there is no member 1; the cluster has 1, from 0": func(c *etcdfake.Cluster) { c.Member(1) },
		"Stop of member 0, which is stopped already": func(c *etcdfake.Cluster) {
			c.Member(0).Stop()
			c.Member(0).Stop()
		},
		"Start of member 0, which runs already": func(c *etcdfake.Cluster) { c.Member(0).Start() },
		"Listen on member 0, which is stopped": func(c *etcdfake.Cluster) {
			c.Member(0).Stop()
			c.Listen()
		},
		"Compact(9) at revision 1: rpc error": func(c *etcdfake.Cluster) { c.Compact(9) },
		"Revoke(7): there is no such lease":   func(c *etcdfake.Cluster) { c.Revoke(7) },
	} {
		t.Run(want, func(t *testing.T) {
			tb := &watchedTB{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				use(etcdfake.New(tb))
			}()
			<-done
			assert.Contains(t, tb.end(), "failed: etcdfake: "+want)
		})
	}
}
