package etcdtest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestOneMember(t *testing.T) {
	c := Start(t)
	m := c.Members()[0]
	require.Equal(t, []string{m.Endpoint()}, c.Endpoints())
	require.Equal(t, "http://"+m.Address(), m.Endpoint())
	require.True(t, strings.HasPrefix(m.Endpoint(), "http://127.0.0.1:"), m.Endpoint())
	require.Same(t, m, c.Leader())
	require.Nil(t, c.TLSConfig())
	require.Nil(t, c.ClientTLS("client"))
	require.Empty(t, c.CAFile()+c.CertFile("client")+c.KeyFile("client"))
	putGet(t, c, "v")
}

func TestThreeMembers(t *testing.T) {
	t.Parallel()
	c := Start(t, WithMembers(3))
	require.Len(t, c.Endpoints(), 3)
	ids := make(map[uint64]bool)
	for i, m := range c.Members() {
		require.Equal(t, fmt.Sprintf("m%d", i), m.Name())
		ids[m.ID()] = true
	}
	require.Len(t, ids, 3)
	putGet(t, c, "v")
	resp, err := pb.NewMaintenanceClient(c.Pb(t)).Status(testContext(t), &pb.StatusRequest{})
	require.NoError(t, err)
	require.Equal(t, resp.Leader, c.Leader().ID())
}

func TestUnixSocket(t *testing.T) {
	c := Start(t, WithUnixSocket())
	require.True(t, strings.HasPrefix(c.Endpoints()[0], "unix:/"), c.Endpoints()[0])
	putGet(t, c, "v")
}

func TestUnixSocketWithTLS(t *testing.T) {
	c := Start(t, WithUnixSocket(), WithTLS())
	require.True(t, strings.HasPrefix(c.Endpoints()[0], "unixs:/"), c.Endpoints()[0])
	putGet(t, c, "v")
}

func TestArgsWinOverTheDefaults(t *testing.T) {
	c := Start(t, WithArgs("--snapshot-count=7", "--max-txn-ops=1"))
	ops := []*pb.RequestOp{putOp("a"), putOp("b")}
	_, err := pb.NewKVClient(c.Pb(t)).Txn(testContext(t), &pb.TxnRequest{Success: ops})
	require.ErrorContains(t, err, "too many operations")
}

func putOp(key string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
		RequestPut: &pb.PutRequest{Key: []byte(key)}}}
}

// If another program takes a member's port before the member starts, the member's data directory is
// removed, and boot starts members on other ports.
func TestMembersWhosePortIsTakenStartOnOthers(t *testing.T) {
	c := &Cluster{cfg: config{members: 1}, dir: t.TempDir(), bin: Binary(t)}
	m, err := newMember(c, 0)
	require.NoError(t, err)
	taken, err := net.Listen("tcp", m.Address())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	members := []*Member{m}
	require.ErrorIs(t, c.explain(members, c.startAll(members)), errPortTaken)
	require.NoDirExists(t, m.dataDir())
	require.NoError(t, c.boot())
	t.Cleanup(c.stopMembers)
	putGet(t, c, "v")
}

func TestServerThatRefusesItsFlagsExplainsItself(t *testing.T) {
	_, err := New(WithArgs("--no-such-flag"))
	require.ErrorIs(t, err, errExited)
	require.ErrorContains(t, err, "no-such-flag")
	require.ErrorContains(t, err, "m0 logged")
}

func TestOptionErrorsNameTheValue(t *testing.T) {
	for want, opts := range map[string][]Option{
		"WithMembers(0)":           {WithMembers(0)},
		"WithMembers(8)":           {WithMembers(8)},
		`WithClientCNs(["alice"])`: {WithClientCNs("alice")},
		"WithCertNames without":    {WithCertNames(func(int) []string { return nil })},
		"gave no name for member 0": {WithTLS(), WithCertNames(func(int) []string {
			return nil
		})},
		"WithJWT(-1ns)":     {WithJWT(-1)},
		"WithAuthTTL(1.5s)": {WithAuthTTL(1500 * time.Millisecond)},
	} {
		_, err := New(opts...)
		require.ErrorContains(t, err, want)
	}
}

func TestMissingBinaryNamesMakeEtcd(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "etcd")
	t.Setenv(binaryEnv, missing)
	_, err := New()
	require.ErrorIs(t, err, ErrNoBinary)
	require.ErrorContains(t, err, "make etcd")
	require.ErrorContains(t, err, missing)

	t.Setenv(binaryEnv, "")
	_, err = findBinary(t.TempDir())
	require.ErrorIs(t, err, ErrNoBinary)
	require.ErrorContains(t, err, "make etcd")
}

// If the environment has variables of etcd, they change no server of a test.
func TestEnvironmentIsNotTheServers(t *testing.T) {
	t.Setenv("ETCD_MAX_TXN_OPS", "1")
	c := Start(t)
	ops := []*pb.RequestOp{putOp("a"), putOp("b")}
	_, err := pb.NewKVClient(c.Pb(t)).Txn(testContext(t), &pb.TxnRequest{Success: ops})
	require.NoError(t, err)
}

func TestCloseTwice(t *testing.T) {
	c, err := New()
	require.NoError(t, err)
	m := c.Members()[0]
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.NoDirExists(t, c.dir)
	require.False(t, m.Running())
	require.ErrorContains(t, m.Restart(), "closed")
	_, err = c.AddMember(false)
	require.Error(t, err)
}

func TestPortBlocksAreDisjoint(t *testing.T) {
	ports := make(map[int]bool)
	for range 50 {
		b, err := newPortBlock()
		require.NoError(t, err)
		t.Cleanup(b.release)
		ports[b.client], ports[b.peer] = true, true
		_, err = claimBlock(b.client - 1)
		require.Error(t, err, "a held block was claimed twice")
	}
	require.Len(t, ports, 100)
}

func TestWaitLeaderEndsWithItsContext(t *testing.T) {
	c := Start(t)
	c.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := c.WaitLeader(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
