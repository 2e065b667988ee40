package auth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	public "go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// authFake is a fake with authentication enabled and a user alice.
type authFake struct {
	*etcdfake.Server
	mu     sync.Mutex
	tokens map[string]error // the keys are the issued tokens; a value is the error for puts, or nil
}

func newAuthFake(t *testing.T) *authFake {
	t.Helper()
	fake := &authFake{Server: etcdfake.Start(t, etcdfake.WithUser("alice", "pw")),
		tokens: make(map[string]error)}
	fake.Unary("Authenticate", fake.authenticate)
	fake.On("Put", fake.put)
	return fake
}

func (f *authFake) authenticate(ctx context.Context, req proto.Message) (proto.Message, error) {
	resp, err := f.Apply(ctx, "Authenticate", req)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[resp.(*pb.AuthenticateResponse).GetToken()] = nil
	return resp, nil
}

func (f *authFake) put(call *public.Call) public.Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, token := range call.Metadata.Get(rpctypes.TokenFieldNameGRPC) {
		if err := f.tokens[token]; err != nil {
			return public.Refuse(err)
		}
	}
	return public.Pass()
}

// refuseTokens makes the fake answer with the error refusal if a put has a token issued so far.
func (f *authFake) refuseTokens(refusal error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for token := range f.tokens {
		f.tokens[token] = refusal
	}
}

// startAuthFake starts a fake with authentication enabled and a client of its user, which has
// logged in once.
func startAuthFake(t *testing.T) (*authFake, *clientv3.Client) {
	t.Helper()
	fake := newAuthFake(t)
	client := testclient.OpenFake(t, fake.Server, testclient.AsUser("alice", "pw"))
	require.Equal(t, 1, fake.Calls("Authenticate"))
	return fake, client
}

// Each kind of refusal of a token causes one login, however many callers get it, and no caller's
// put fails.
func TestOneLoginPerExpiry(t *testing.T) {
	fake, client := startAuthFake(t)
	for _, tc := range []struct {
		refusal error
		callers int
	}{
		{rpctypes.ErrGRPCInvalidAuthToken, 1000}, {rpctypes.ErrGRPCAuthOldRevision, 50},
		{rpctypes.ErrGRPCUserEmpty, 50},
	} {
		logins := fake.Calls("Authenticate")
		puts := testclient.PutUntil(t, client, tc.callers, func() {
			fake.refuseTokens(tc.refusal)
			require.Eventually(t, func() bool {
				return fake.Calls("Authenticate") > logins
			}, time.Minute, time.Millisecond)
		})
		assert.GreaterOrEqual(t, puts, int64(tc.callers))
		assert.Equal(t, logins+1, fake.Calls("Authenticate"), tc.refusal)
	}
}

// Streams and requests share the token: they do not log in separately, and one expiry causes one
// login.
func TestStreamsReuseTheToken(t *testing.T) {
	fake, client := startAuthFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lease, err := client.Grant(ctx, 60)
	require.NoError(t, err)
	work := func() {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				_, err := client.KeepAliveOnce(ctx, lease.ID)
				assert.NoError(t, err)
			})
			all.Go(func() {
				created := client.Watch(ctx, fmt.Sprint("w", i), clientv3.WithCreatedNotify())
				resp := <-created
				assert.True(t, resp.Created, resp.Err())
			})
			all.Go(func() {
				_, err := client.Get(ctx, "k")
				assert.NoError(t, err)
			})
		}
		all.Wait()
	}
	work()
	assert.Equal(t, 1, fake.Calls("Authenticate"))
	fake.ExpireTokens()
	work()
	assert.Equal(t, 2, fake.Calls("Authenticate"))
}

// A caller whose context ends while the token is being renewed returns; the login goes on for the
// others.
func TestLoginOutlivesTheCallerThatBeganIt(t *testing.T) {
	fake, client := startAuthFake(t)
	fake.ExpireTokens()
	fake.Delay("Authenticate", 300*time.Millisecond)
	hasty, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := make(chan error)
	go func() {
		_, err := client.Put(hasty, "k", "v")
		left <- err
	}()
	require.Eventually(t, func() bool {
		return fake.Calls("Authenticate") == 2
	}, time.Minute, time.Millisecond)
	patient := make(chan error)
	go func() {
		_, err := client.Put(t.Context(), "k", "v")
		patient <- err
	}()
	cancel()
	assert.Equal(t, context.Canceled, <-left)
	assert.NoError(t, <-patient)
	assert.Equal(t, 2, fake.Calls("Authenticate"))
}

func TestAuthDisabledAtRunTime(t *testing.T) {
	fake, client := startAuthFake(t)
	ctx := t.Context()
	put := func() []string {
		_, err := client.Put(ctx, "k", "v")
		require.NoError(t, err)
		return fake.LastMetadata("Put").Get(rpctypes.TokenFieldNameGRPC)
	}
	assert.Len(t, put(), 1)
	admin := fake.Client(testclient.AsUser("root", "root"))
	_, err := admin.AuthDisable(ctx)
	require.NoError(t, err)
	// A member that has not yet applied AuthDisable refuses the old token with this error.
	fake.Fail("Put", 1, rpctypes.ErrGRPCAuthOldRevision)
	assert.Empty(t, put(), "the token is dropped")
	assert.Empty(t, put())
	assert.Equal(t, 2, fake.Calls("Authenticate"))

	_, err = admin.AuthEnable(ctx)
	require.NoError(t, err)
	assert.Len(t, put(), 1)
	assert.Equal(t, 3, fake.Calls("Authenticate"))
}

// A client with a user works with a cluster on which authentication is disabled.
func TestUserWithoutAuth(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake, testclient.AsUser("alice", "pw"))
	_, err := client.Put(t.Context(), "k", "v")
	assert.NoError(t, err)
}

func TestDialLeavesTheTokenAlone(t *testing.T) {
	fake, client := startAuthFake(t)
	ctx := t.Context()
	_, err := client.Status(ctx, fake.Addr())
	require.NoError(t, err)
	conn, err := client.Dial(fake.Addr())
	require.NoError(t, err)
	defer conn.Close()
	_, err = pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k")})
	require.NoError(t, err)
	token := fake.LastMetadata("Put").Get(rpctypes.TokenFieldNameGRPC)
	_, err = client.Put(ctx, "k", "v")
	require.NoError(t, err)
	assert.Equal(t, token, fake.LastMetadata("Put").Get(rpctypes.TokenFieldNameGRPC))
	assert.Equal(t, 1, fake.Calls("Authenticate"))

	// If a request to a single member finds the token expired, it renews the token for all
	// requests.
	fake.ExpireTokens()
	_, err = client.Status(ctx, fake.Addr())
	require.NoError(t, err)
	_, err = client.Put(ctx, "k", "v")
	require.NoError(t, err)
	assert.Equal(t, 2, fake.Calls("Authenticate"))
}

func TestStaticToken(t *testing.T) {
	fake := newAuthFake(t)
	ctx := t.Context()
	conn := testclient.OpenFake(t, fake.Server).ActiveConnection()
	login, err := pb.NewAuthClient(conn).Authenticate(ctx,
		&pb.AuthenticateRequest{Name: "alice", Password: "pw"})
	require.NoError(t, err)
	client := testclient.OpenFake(t, fake.Server,
		func(cfg *clientv3.Config) { cfg.Token = login.Token })
	_, err = client.Put(ctx, "k", "v")
	require.NoError(t, err)
	assert.Equal(t, login.Token, client.Token)

	for _, refusal := range []error{rpctypes.ErrGRPCInvalidAuthToken,
		rpctypes.ErrGRPCAuthOldRevision} {
		before := fake.Calls("Put")
		fake.refuseTokens(refusal)
		_, err = client.Put(ctx, "k", "v")
		assert.Equal(t, rpctypes.Error(refusal), err)
		assert.Equal(t, before+1, fake.Calls("Put"), "another attempt would have the same token")
	}
	assert.Equal(t, 1, fake.Calls("Authenticate"), "the login of this test")

	for _, change := range []func(*clientv3.Config){
		func(cfg *clientv3.Config) { cfg.Username = "alice" },
		func(cfg *clientv3.Config) { cfg.Password = "pw" },
		testclient.AsUser("alice", "pw"),
	} {
		cfg := clientv3.Config{Endpoints: []string{fake.Addr()}, Token: login.Token}
		change(&cfg)
		_, err := clientv3.New(cfg)
		assert.Equal(t, clientv3.ErrMutuallyExclusiveCfg, err)
	}
}

// If the login itself is refused, the caller gets the error of Authenticate.
func TestRefusedLogin(t *testing.T) {
	fake, client := startAuthFake(t)
	_, err := clientv3.New(clientv3.Config{Endpoints: []string{fake.Addr()}, Username: "alice",
		Password: "wrong"})
	assert.Equal(t, rpctypes.ErrAuthFailed, err)

	admin := fake.Client(testclient.AsUser("root", "root"))
	_, err = admin.UserChangePassword(t.Context(), "alice", "another password")
	require.NoError(t, err)
	fake.ExpireTokens()
	logins := fake.Calls("Authenticate")
	_, err = client.Put(t.Context(), "k", "v")
	assert.Equal(t, rpctypes.ErrAuthFailed, err)
	assert.Equal(t, logins+1, fake.Calls("Authenticate"))
	_, err = admin.UserChangePassword(t.Context(), "alice", "pw")
	require.NoError(t, err)
	_, err = client.Put(t.Context(), "k", "v")
	assert.NoError(t, err, "a failure is not kept")
}
