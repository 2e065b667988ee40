package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Sync replaces the endpoints by those that the members advertise. SetEndpoints sets them by hand.
func ExampleClient_Sync() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if err := cli.Sync(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("one member:", len(cli.Endpoints()))
	cli.SetEndpoints("10.0.0.1:2379", "10.0.0.2:2379")
	fmt.Println(cli.Endpoints())
	// Output:
	// one member: 1
	// [10.0.0.1:2379 10.0.0.2:2379]
}

// Dial makes a gRPC connection to one member, for services that the client does not have. The
// caller closes it.
func ExampleClient_Dial() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	conn, err := cli.Dial(cli.Endpoints()[0])
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	// Output: SERVING
}

// A goroutine that waits for Client.Ctx ends when the client is closed.
func ExampleClient_Ctx() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	fmt.Println(cli.Ctx().Err())
	if err := cli.Close(); err != nil {
		log.Fatal(err)
	}
	<-cli.Ctx().Done()
	fmt.Println(cli.Ctx().Err())
	// Output:
	// <nil>
	// context canceled
}

// The client logs to Config.Logger, or to the logger that WithLogger sets.
func ExampleClient_WithLogger() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	cli.WithLogger(zap.NewNop())
	fmt.Println(cli.GetLogger().Level() == zap.NewNop().Level())
	// Output: true
}

func ExampleNewFromURL() {
	cli, err := clientv3.NewFromURL("http://127.0.0.1:2379")
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	more, err := clientv3.NewFromURLs([]string{"http://10.0.0.1:2379", "http://10.0.0.2:2379"})
	if err != nil {
		log.Fatal(err)
	}
	defer more.Close()
	fmt.Println(cli.Endpoints(), more.Endpoints())
	// Output: [http://127.0.0.1:2379] [http://10.0.0.1:2379 http://10.0.0.2:2379]
}

// NewClientConfig makes a Config from plain values, which a program can take from its command line:
// names of files, durations, a user.
func ExampleNewClientConfig() {
	cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{
		Endpoints:   []string{"https://10.0.0.1:2379"},
		DialTimeout: 5 * time.Second,
		Secure:      &clientv3.SecureConfig{ServerName: "etcd.example"},
		Auth:        &clientv3.AuthConfig{Username: "alice", Password: "secret"},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.Endpoints, cfg.DialTimeout, cfg.TLS.ServerName, cfg.Username)
	// Output: [https://10.0.0.1:2379] 5s etcd.example alice
}

// greeter is a KVClient that answers reads itself, without a server.
type greeter struct{ pb.KVClient }

func (greeter) Range(
	context.Context, *pb.RangeRequest, ...grpc.CallOption,
) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{}, Count: 7}, nil
}

// NewCtxClient makes a client without a connection. It works only with the KV, Lease and so on that
// the program puts into it.
func ExampleNewCtxClient() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cli := clientv3.NewCtxClient(ctx, clientv3.WithZapLogger(zap.NewNop()))
	defer cli.Close()
	cli.KV = clientv3.NewKVFromKVClient(greeter{}, cli)

	resp, err := cli.Get(ctx, "key")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Count)
	_, err = cli.Grant(ctx, 60)
	fmt.Println(errors.Is(err, clientv3.ErrNoAvailableEndpoints))
	// Output:
	// 7
	// true
}

// A program can replace the KV, Watcher and Lease of a client by wrappers. NewKV, NewWatcher and
// NewLease return new ones without wrappers, on the client's connection. The client stays open when
// a program closes such a Watcher or Lease.
func ExampleNewKV() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	plain := clientv3.NewKV(cli)
	if _, err := plain.Put(ctx, "plain", "value"); err != nil {
		log.Fatal(err)
	}
	watcher, lease := clientv3.NewWatcher(cli), clientv3.NewLease(cli)
	changes := watcher.Watch(ctx, "plain")
	fmt.Println(watcher.Close(), lease.Close())
	for resp := range changes {
		fmt.Println(resp.Err())
	}
	members, err := clientv3.NewCluster(cli).MemberList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	alarms, err := clientv3.NewMaintenance(cli).AlarmList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	auth, err := clientv3.NewAuth(cli).AuthStatus(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(members.Members), len(alarms.Alarms), auth.Enabled)
	// Output:
	// <nil> <nil>
	// context canceled
	// 1 0 false
}

// NewKVFromKVClient and similar functions make a KV, Lease or Watcher from a generated stub. The
// stubs here use the client's connection. Other stubs work too, even without a connection.
func ExampleNewKVFromKVClient() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	conn := cli.ActiveConnection()
	kv := clientv3.NewKVFromKVClient(pb.NewKVClient(conn), cli)
	lease := clientv3.NewLeaseFromLeaseClient(pb.NewLeaseClient(conn), cli, time.Second)
	defer lease.Close()
	watcher := clientv3.NewWatchFromWatchClient(pb.NewWatchClient(conn), cli)
	defer watcher.Close()

	changes := watcher.Watch(ctx, "stub")
	granted, err := lease.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := kv.Put(ctx, "stub", "value", clientv3.WithLease(granted.ID)); err != nil {
		log.Fatal(err)
	}
	for _, ev := range (<-changes).Events {
		fmt.Printf("%s %s, with a lease: %t\n", ev.Type, ev.Kv.Key, ev.Kv.Lease != 0)
	}
	// Output: PUT stub, with a lease: true
}

func ExampleNewClusterFromClusterClient() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	conn := cli.ActiveConnection()
	cluster := clientv3.NewClusterFromClusterClient(pb.NewClusterClient(conn), cli)
	members, err := cluster.MemberList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	maintenance := clientv3.NewMaintenanceFromMaintenanceClient(pb.NewMaintenanceClient(conn), cli)
	alarms, err := maintenance.AlarmList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	auth := clientv3.NewAuthFromAuthClient(pb.NewAuthClient(conn), cli)
	state, err := auth.AuthStatus(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(members.Members), len(alarms.Alarms), state.Enabled)
	// Output: 1 0 false
}

// RetryKVClient returns a stub that retries requests as the client does. ContextError converts a
// gRPC error of the stub to the error that the client would return.
func ExampleRetryKVClient() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	stub := clientv3.RetryKVClient(cli)
	_, err = stub.Put(ctx, &pb.PutRequest{})
	fmt.Println("of gRPC:", status.Code(err))
	fmt.Println("of etcd:", clientv3.ContextError(ctx, err) == rpctypes.ErrEmptyKey)

	resp, err := clientv3.RetryClusterClient(cli).MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("members:", len(resp.Members))
	// Output:
	// of gRPC: InvalidArgument
	// of etcd: true
	// members: 1
}

func ExampleRetryMaintenanceClient() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	alarms, err := clientv3.RetryMaintenanceClient(cli, nil).Alarm(ctx, &pb.AlarmRequest{})
	if err != nil {
		log.Fatal(err)
	}
	leases, err := clientv3.RetryLeaseClient(cli).LeaseTimeToLive(ctx,
		&pb.LeaseTimeToLiveRequest{ID: 1})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := clientv3.RetryAuthClient(cli).AuthStatus(ctx, &pb.AuthStatusRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(alarms.Alarms), leases.TTL, auth.Enabled)
	// Output: 0 -1 false
}

// IsInternalRequest lets an interceptor distinguish the requests of the program from those that the
// client makes by itself.
func ExampleIsInternalRequest() {
	count := func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
		invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if !clientv3.IsInternalRequest(ctx) {
			fmt.Println("the program asks for", method)
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	cli, err := clientv3.New(clientv3.Config{
		Endpoints:        exampleEndpoints(),
		RejectOldCluster: true, // New asks for the server's version
		DialOptions:      []grpc.DialOption{grpc.WithChainUnaryInterceptor(count)},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	if _, err := cli.Get(context.TODO(), "key"); err != nil {
		log.Fatal(err)
	}
	// Output: the program asks for /etcdserverpb.KV/Range
}

// On a member that has no leader, a request with the context of WithRequireLeader fails at once,
// and a watch ends.
func ExampleWithRequireLeader() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	resp, err := cli.Get(clientv3.WithRequireLeader(ctx), "key")
	if errors.Is(err, rpctypes.ErrNoLeader) {
		log.Fatal("the member that was asked is cut off")
	}
	fmt.Println(resp != nil, err)
	// Output: true <nil>
}
