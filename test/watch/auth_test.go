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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// asAlice makes a client log in as the user of these tests.
var asAlice = testclient.AsUser("alice", "pw")

// startWithAlice starts a cluster with authentication, in which alice may read and write all keys.
func startWithAlice(t *testing.T, opts ...etcdtest.Option) *etcdtest.Cluster {
	t.Helper()
	cluster := etcdtest.Start(t, opts...)
	require.NoError(t, cluster.AddRole("all",
		&authpb.Permission{Key: []byte("a"), RangeEnd: []byte("z"), PermType: authpb.READWRITE}))
	require.NoError(t, cluster.AddUser("alice", "pw", "all"))
	require.NoError(t, cluster.EnableAuth("root"))
	return cluster
}

// TestWatchOutlivesItsToken: tokens expire after two seconds. After a longer time without requests
// a new watch and the watch that was there before both work.
func TestWatchOutlivesItsToken(t *testing.T) {
	for name, opts := range map[string][]etcdtest.Option{
		"simple": {etcdtest.WithAuthTTL(2 * time.Second)},
		"jwt":    {etcdtest.WithJWT(2 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testclient.Open(t, startWithAlice(t, opts...), asAlice)
			old := c.Watch(t.Context(), "k")
			time.Sleep(4 * time.Second) // twice the time to live of the token
			fresh := c.Watch(t.Context(), "k")
			for range 2 {
				rev := put(t, c, "k", "v")
				for _, ch := range []clientv3.WatchChan{old, fresh} {
					assert.Equal(t, fmt.Sprintf("PUT k=v@%d", rev), nextEvent(t, ch))
				}
			}
		})
	}
}

// TestWatchOutlivesAnAuthRevisionChange: after a change of any user the server refuses requests
// with older tokens. Old and new watches work all the same.
func TestWatchOutlivesAnAuthRevisionChange(t *testing.T) {
	cluster := startWithAlice(t)
	c := testclient.Open(t, cluster, asAlice)
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

// TestRefusedWatchRefreshesTheTokenOnceWhateverTheText: the server refuses fifty watches with the
// same token. The client gets one new token and creates each watch once more, whatever the text of
// the refusal.
func TestRefusedWatchRefreshesTheTokenOnceWhateverTheText(t *testing.T) {
	for _, text := range []string{rpctypes.ErrGRPCInvalidAuthToken.Error(),
		"etcdserver: permission denied", "no", ""} {
		t.Run(text, func(t *testing.T) {
			s := etcdfake.Start(t, etcdfake.WithUser("alice", "pw"))
			s.Watch(refuseOldTokens(s, text))
			c := testclient.OpenFake(t, s, asAlice)
			old := c.Watch(t.Context(), "k")
			logins := s.Calls("Authenticate")
			s.ExpireTokens()

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

// refuseOldTokens serves watches as the fake server does, but gives the parameter text as the
// reason when it refuses a watch.
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

// TestDeniedWatchEnds: a watch ends when the server has refused it twice. A program that creates
// such watches in a loop causes few new streams, so its other watches rarely have to resume.
func TestDeniedWatchEnds(t *testing.T) {
	s := etcdfake.Start(t, etcdfake.WithUser("alice", "pw"))
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
	c := testclient.OpenFake(t, s, asAlice)
	ch := c.Watch(t.Context(), "k")
	begin := time.Now()
	for range 100 {
		requireLast(t, c.Watch(t.Context(), "secret"))
	}
	_, total := s.Streams("Watch")
	assert.LessOrEqual(t, total, 2+2*int(time.Since(begin)/time.Second+1))
	put(t, c, "k", "v")
	requireEvents(t, ch)
}

// TestWatchWithoutUserIsRefused: a client without a user creates a refused watch once more, on the
// same stream.
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
