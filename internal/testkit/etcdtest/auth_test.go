package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// login returns a context with a user's token.
func login(t *testing.T, conn *grpc.ClientConn, user, password string) (context.Context, string) {
	t.Helper()
	resp, err := pb.NewAuthClient(conn).Authenticate(testContext(t),
		&pb.AuthenticateRequest{Name: user, Password: password})
	require.NoError(t, err)
	return metadata.AppendToOutgoingContext(testContext(t), rpctypes.TokenFieldNameGRPC,
		resp.Token), resp.Token
}

func readErr(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
	return rpctypes.Error(err)
}

func TestAuth(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMembers(3))
	require.NoError(t, c.AddUser("alice", "a", "root"))
	require.NoError(t, c.EnableAuth("secret"))
	for _, m := range c.Members() {
		require.ErrorIs(t, readErr(testContext(t), m.Conn(t)), rpctypes.ErrUserEmpty)
	}

	// After auth is on, the methods of Cluster authenticate as root.
	require.NoError(t, c.AddRole("writer", &authpb.Permission{PermType: authpb.READWRITE,
		Key: []byte("a"), RangeEnd: []byte("b")}))
	require.NoError(t, c.AddUser("bob", "b", "writer"))
	require.ErrorContains(t, c.AddUser("bob", "b"), `add user "bob"`)
	require.ErrorContains(t, c.AddRole("writer"), `add role "writer"`)

	conn := c.Members()[0].Conn(t)
	alice, _ := login(t, conn, "alice", "a")
	require.NoError(t, readErr(alice, conn))
	bob, _ := login(t, conn, "bob", "b")
	require.ErrorIs(t, readErr(bob, conn), rpctypes.ErrPermissionDenied)
	root, err := c.asRoot(testContext(t), conn)
	require.NoError(t, err)
	_, err = pb.NewKVClient(conn).Put(root, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	require.NoError(t, err)

	// A member that is restarted serves before a client has sent it a token.
	c.Members()[0].Kill()
	require.NoError(t, c.Members()[0].Restart())
	require.NoError(t, c.DisableAuth())
	putGet(t, c, "w")
	require.NoError(t, c.EnableAuth("other"), "root exists already and gets the new password")
}

// A JSON web token with a TTL of one second may expire up to one second early, that is, at once.
func TestAdministrationWithShortTokens(t *testing.T) {
	t.Parallel()
	c := Start(t, WithJWT(time.Second))
	require.NoError(t, c.EnableAuth("secret"))
	for i := range 50 {
		require.NoError(t, c.AddUser(fmt.Sprintf("u%d", i), "", "root"))
	}
}

func TestAddMemberUnderAuth(t *testing.T) {
	t.Parallel()
	c := Start(t)
	require.NoError(t, c.EnableAuth("secret"))
	_, err := c.AddMember(true)
	require.NoError(t, err)
}

func TestSimpleTokenExpires(t *testing.T) {
	t.Parallel()
	c := Start(t, WithArgs("--auth-token=simple"), WithAuthTTL(time.Second))
	requireTokenExpires(t, c, func(token string) bool { return strings.Count(token, ".") == 1 })
}

func TestJWTExpires(t *testing.T) {
	t.Parallel()
	c := Start(t, WithJWT(time.Second))
	requireTokenExpires(t, c, func(token string) bool { return strings.Count(token, ".") == 2 })
}

// requireTokenExpires requires that a token is refused after its TTL has passed. The cluster's
// tokens must have a TTL of one second.
func requireTokenExpires(t *testing.T, c *Cluster, looksRight func(string) bool) {
	t.Helper()
	require.NoError(t, c.EnableAuth("secret"))
	conn := c.Members()[0].Conn(t)
	var ctx context.Context
	require.Eventually(t, func() bool {
		// on a busy machine a token may be too old at its first use
		var token string
		ctx, token = login(t, conn, "root", "secret")
		require.True(t, looksRight(token), token)
		return readErr(ctx, conn) == nil
	}, time.Minute, time.Millisecond)
	// Each use of a simple token extends its life by the TTL, so the test waits longer than the TTL
	// between two reads.
	require.Eventually(t, func() bool {
		return errors.Is(readErr(ctx, conn), rpctypes.ErrInvalidAuthToken)
	}, time.Minute, 2200*time.Millisecond)
}
