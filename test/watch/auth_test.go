package watch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

func newUserClient(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Username: "alice", Password: "pw",
		Logger: zap.NewNop()})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, c.Close()) })
	return c
}

// TestWatchOutlivesItsToken: with tokens that live for two seconds, after a longer idle time a new
// watch and the old one both work.
func TestWatchOutlivesItsToken(t *testing.T) {
	for name, opts := range map[string][]etcdtest.Option{
		"simple": {etcdtest.WithAuthTTL(2 * time.Second)},
		"jwt":    {etcdtest.WithJWT(2 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, opts...)
			require.NoError(t, cluster.AddRole("all",
				&authpb.Permission{Key: []byte("a"), RangeEnd: []byte("z"),
					PermType: authpb.READWRITE}))
			require.NoError(t, cluster.AddUser("alice", "pw", "all"))
			require.NoError(t, cluster.EnableAuth("root"))
			c := newUserClient(t, cluster.Endpoints()...)
			old := c.Watch(t.Context(), "k")
			time.Sleep(4 * time.Second) // twice the token's life
			young := c.Watch(t.Context(), "k")
			for range 2 {
				rev := put(t, c, "k", "v")
				for _, ch := range []clientv3.WatchChan{old, young} {
					assert.Equal(t, fmt.Sprintf("PUT k=v@%d", rev), nextEvent(t, ch))
				}
			}
		})
	}
}

// TestWatchOutlivesAnAuthRevisionChange: a change of any user makes all simple tokens old.
func TestWatchOutlivesAnAuthRevisionChange(t *testing.T) {
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.AddRole("all",
		&authpb.Permission{Key: []byte("a"), RangeEnd: []byte("z"), PermType: authpb.READWRITE}))
	require.NoError(t, cluster.AddUser("alice", "pw", "all"))
	require.NoError(t, cluster.EnableAuth("root"))
	c := newUserClient(t, cluster.Endpoints()...)
	chans := []clientv3.WatchChan{c.Watch(t.Context(), "k")}
	for i := range 3 {
		require.NoError(t, cluster.AddUser(fmt.Sprintf("user%d", i), "pw"))
		chans = append(chans, c.Watch(t.Context(), "k"))
	}
	rev := put(t, c, "k", "v")
	for _, ch := range chans {
		assert.Equal(t, fmt.Sprintf("PUT k=v@%d", rev), nextEvent(t, ch))
	}
}

// TestRefusedWatchRefreshesTheTokenOnceWhateverTheText: the token of a refused watch is refreshed
// once, however many watches are refused with it, and each is tried once more; the text of the
// refusal decides nothing.
func TestRefusedWatchRefreshesTheTokenOnceWhateverTheText(t *testing.T) {
	for _, text := range []string{rpctypes.ErrGRPCInvalidAuthToken.Error(),
		"etcdserver: permission denied", "no", ""} {
		t.Run(text, func(t *testing.T) {
			s := etcdfake.Start(t)
			s.EnableAuth("alice", "pw")
			s.Watch(refuseOldTokens(s, text))
			c := newUserClient(t, s.Addr())
			old := c.Watch(t.Context(), "k")
			logins := s.Calls("Authenticate")
			s.ExpireTokens(rpctypes.ErrGRPCInvalidAuthToken)

			var opens []func() clientv3.WatchChan
			for range 50 {
				opens = append(opens, watchAsync(t.Context(), c, "k"))
			}
			chans := []clientv3.WatchChan{old}
			for _, open := range opens {
				chans = append(chans, open())
			}
			rev := put(t, c, "k", "v")
			for _, ch := range chans {
				assert.Equal(t, fmt.Sprintf("PUT k=v@%d", rev), nextEvent(t, ch))
			}
			assert.Equal(t, logins+1, s.Calls("Authenticate"))
		})
	}
}

// refuseOldTokens serves watches as the fake does, and gives another text as the reason of what it
// refuses.
func refuseOldTokens(s *etcdfake.Server, text string) etcdfake.WatchHandler {
	return func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		return s.ServeWatch(ctx, recv, func(resp *pb.WatchResponse) error {
			if resp.Created && resp.Canceled {
				resp.CancelReason = text
			}
			return send(resp)
		})
	}
}

// TestDeniedWatchEnds: two refusals end a watch; one who asks again and again for what it may not
// have does not keep the others resuming.
func TestDeniedWatchEnds(t *testing.T) {
	s := etcdfake.Start(t)
	s.EnableAuth("alice", "pw")
	s.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		return s.ServeWatch(ctx, func() (*pb.WatchRequest, error) {
			req, err := recv()
			if create := req.GetCreateRequest(); err == nil && string(create.GetKey()) == "secret" {
				create.StartRevision = -1 // which the fake refuses
			}
			return req, err
		}, send)
	})
	c := newUserClient(t, s.Addr())
	ch := c.Watch(t.Context(), "k")
	begin := time.Now()
	for range 100 {
		requireLast(t, c.Watch(t.Context(), "secret"))
	}
	_, total := s.Streams("Watch")
	assert.LessOrEqual(t, total, 2+2*int(time.Since(begin)/time.Second+1))
	put(t, c, "k", "v")
	require.NoError(t, nextWithEvents(t, ch))
}

// TestWatchWithoutUserIsRefused: without a user a refused watch is tried once more on the same
// stream.
func TestWatchWithoutUserIsRefused(t *testing.T) {
	s, w := newWatchScript(t)
	open := watchAsync(t.Context(), w, "k")
	ss := s.session()
	ss.create()
	ss.refused(-1, rpctypes.ErrGRPCAuthOldRevision.Error())
	ss.create()
	ss.created(0, 1)
	ch := open()
	ss.events(0, 2)
	requireRevisions(t, ch, 2)
}
