package mockserver_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mock/mockserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, count int, network string) *mockserver.MockServers {
	t.Helper()
	servers, err := mockserver.StartMockServersOnNetwork(count, network)
	require.NoError(t, err)
	t.Cleanup(servers.Stop)
	return servers
}

func client(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cli.Close()) })
	return cli
}

// The address of a server that was stopped as soon as it was started is free again.
func TestServersThatStopAtOnceStartAgain(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			servers := start(t, 1, network)
			for range 50 {
				servers.StopAt(0)
				require.NoError(t, servers.StartAt(0))
			}
		})
	}
}

func TestEveryRequestIsAnswered(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			servers := start(t, 2, network)
			assert.NotEqual(t, servers.Servers[0].Address, servers.Servers[1].Address)
			for _, s := range servers.Servers {
				cli, ctx := client(t, s.ResolverAddress().Addr), t.Context()
				for name, call := range map[string]func() error{
					"get":        func() error { _, err := cli.Get(ctx, "k"); return err },
					"put":        func() error { _, err := cli.Put(ctx, "k", "v"); return err },
					"delete":     func() error { _, err := cli.Delete(ctx, "k"); return err },
					"txn":        func() error { _, err := cli.Txn(ctx).Commit(); return err },
					"compact":    func() error { _, err := cli.Compact(ctx, 1); return err },
					"grant":      func() error { _, err := cli.Grant(ctx, 10); return err },
					"revoke":     func() error { _, err := cli.Revoke(ctx, 1); return err },
					"leases":     func() error { _, err := cli.Leases(ctx); return err },
					"timeToLive": func() error { _, err := cli.TimeToLive(ctx, 1); return err },
					"get stream": func() error {
						return drain(cli.GetStream(ctx, "k", clientv3.WithPrefix()))
					},
					"member list": func() error { return refused(cli.MemberList(ctx)) },
				} {
					assert.NoError(t, call(), name)
				}
			}
		})
	}
}

func drain(stream clientv3.GetStreamChan, err error) error {
	if err != nil {
		return err
	}
	_, err = clientv3.GetStreamToGetResponse(stream)
	return err
}

// refused returns nil if a call failed, as the test expects, and an error if it succeeded.
func refused(_ *clientv3.MemberListResponse, err error) error {
	if err == nil {
		return os.ErrExist
	}
	return nil
}

func TestStoppedServersComeBackOnTheirAddress(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			servers := start(t, 1, network)
			server := servers.Servers[0]
			address := server.Address
			cli := client(t, server.ResolverAddress().Addr)
			_, err := cli.Get(t.Context(), "k")
			require.NoError(t, err)

			servers.StopAt(0)
			servers.StopAt(0) // the second does nothing
			require.Nil(t, server.GRPCServer)
			short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = cli.Get(short, "k")
			require.Error(t, err)

			require.NoError(t, servers.StartAt(0))
			require.Equal(t, address, server.Address)
			_, err = cli.Get(t.Context(), "k")
			require.NoError(t, err)

			servers.Stop()
			require.NoError(t, servers.StartAt(0), "after Stop")
			_, err = cli.Get(t.Context(), "k")
			require.NoError(t, err)
			if network == "unix" {
				servers.Stop()
				require.NoFileExists(t, address)
			}
		})
	}
}

func TestWrongUseIsAnError(t *testing.T) {
	servers := start(t, 1, "tcp")
	require.ErrorContains(t, servers.StartAt(0),
		"server 0 on "+servers.Servers[0].Address+" is running")
	require.EqualError(t, servers.StartAt(1), "mockserver: no server 1 among 1")
	require.EqualError(t, servers.StartAt(-1), "mockserver: no server -1 among 1")
	servers.StopAt(-1)
	servers.StopAt(1)

	_, err := mockserver.StartMockServersOnNetwork(1, "pigeon")
	require.EqualError(t, err, `mockserver: unsupported network "pigeon"`)
	none, err := mockserver.StartMockServers(0)
	require.NoError(t, err)
	none.Stop()
}

// TestAnAddressInUseIsAnError starts a server whose port is in use.
func TestAnAddressInUseIsAnError(t *testing.T) {
	servers, other := start(t, 1, "tcp"), start(t, 1, "tcp")
	servers.StopAt(0)
	servers.Servers[0].Address = other.Servers[0].Address
	require.ErrorContains(t, servers.StartAt(0),
		"mockserver: server 0: listen tcp "+other.Servers[0].Address)
	require.Nil(t, servers.Servers[0].GRPCServer)
}
