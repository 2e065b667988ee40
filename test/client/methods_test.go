package client_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestEveryMethodAfterCloseFails: after Close, each method of each interface that the client embeds
// returns at once, even if its context never ends. Its error says that the client is closed.
func TestEveryMethodAfterCloseFails(t *testing.T) {
	s := etcdfake.New(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Listen()}, Logger: zap.NewNop()})
	require.NoError(t, err)
	_, err = c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	methods := 0
	for _, typ := range []reflect.Type{
		reflect.TypeFor[clientv3.KV](), reflect.TypeFor[clientv3.Lease](),
		reflect.TypeFor[clientv3.Watcher](),
		reflect.TypeFor[clientv3.Auth](), reflect.TypeFor[clientv3.Cluster](),
		reflect.TypeFor[clientv3.Maintenance](),
	} {
		for i := range typ.NumMethod() {
			name := typ.Method(i).Name
			if name == "Close" {
				continue
			}
			method := reflect.ValueOf(c).MethodByName(name)
			args := argumentsOf(t, method.Type(), s.Listen())
			assert.Less(t, quickest(t, func() {
				requireClosedCall(t, name, method.Call(args))
			}), 50*time.Millisecond, name)
			methods++
		}
	}
	assert.Greater(t, methods, 40)
}

// argumentsOf returns arguments for a method, without variadic arguments.
func argumentsOf(t *testing.T, method reflect.Type, endpoint string) (args []reflect.Value) {
	t.Helper()
	for i := range method.NumIn() {
		switch in := method.In(i); {
		case method.IsVariadic() && i == method.NumIn()-1:
		case in == reflect.TypeFor[context.Context]():
			args = append(args, reflect.ValueOf(context.Background()))
		case in == reflect.TypeFor[string]():
			args = append(args, reflect.ValueOf(endpoint))
		case in == reflect.TypeFor[[]string]():
			args = append(args, reflect.ValueOf([]string{"http://" + endpoint}))
		case in == reflect.TypeFor[clientv3.Op]():
			args = append(args, reflect.ValueOf(clientv3.OpPut("k", "v")))
		case in == reflect.TypeFor[*clientv3.AlarmMember]():
			args = append(args, reflect.ValueOf(&clientv3.AlarmMember{}))
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	return args
}

// requireClosedCall checks the results of a method of a closed client: an error that says so, or a
// closed channel.
func requireClosedCall(t *testing.T, name string, results []reflect.Value) {
	t.Helper()
	switch last := results[len(results)-1].Interface().(type) {
	case error:
		assert.True(t, clientv3.IsConnCanceled(last), "%s: %v", name, last)
	case clientv3.Txn:
		_, err := last.Commit()
		assert.True(t, clientv3.IsConnCanceled(err), "%s: %v", name, err)
	case clientv3.WatchChan:
		_, open := <-last
		assert.False(t, open, name)
	default:
		assert.Fail(t, "no error", "%s returned %v", name, last)
	}
}

// TestEveryMethodWithoutAMember: while no member can be reached, each method of each interface that
// the client embeds returns the error of its context, unwrapped.
func TestEveryMethodWithoutAMember(t *testing.T) {
	const nowhere = "127.0.0.1:1"
	c := testclient.New(t, clientv3.Config{Endpoints: []string{nowhere}})
	methods := 0
	for _, typ := range []reflect.Type{
		reflect.TypeFor[clientv3.KV](), reflect.TypeFor[clientv3.Lease](),
		reflect.TypeFor[clientv3.Watcher](),
		reflect.TypeFor[clientv3.Auth](), reflect.TypeFor[clientv3.Cluster](),
		reflect.TypeFor[clientv3.Maintenance](),
	} {
		for i := range typ.NumMethod() {
			name := typ.Method(i).Name
			if name == "Close" || name == "RequestProgress" { // which returns ErrNoWatchStream
				continue
			}
			method := reflect.ValueOf(c).MethodByName(name)
			deadline, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
			requireInterrupted(t, context.DeadlineExceeded, name,
				method.Call(withContext(t, method, deadline, nowhere)))
			end()
			cancelled, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			requireInterrupted(t, context.Canceled, name,
				method.Call(withContext(t, method, cancelled, nowhere)))
			methods++
		}
	}
	assert.Greater(t, methods, 40)
}

// withContext returns arguments for a method, with ctx as its context.
func withContext(
	t *testing.T, method reflect.Value, ctx context.Context, endpoint string,
) []reflect.Value {
	t.Helper()
	args := argumentsOf(t, method.Type(), endpoint)
	for i := range args {
		if method.Type().In(i) == reflect.TypeFor[context.Context]() {
			args[i] = reflect.ValueOf(ctx)
		}
	}
	return args
}

// requireInterrupted checks the results of a method whose context has ended with the error want.
func requireInterrupted(t *testing.T, want error, name string, results []reflect.Value) {
	t.Helper()
	err, _ := results[len(results)-1].Interface().(error)
	switch first := results[0].Interface().(type) {
	case clientv3.Txn:
		_, err = first.Commit()
	case clientv3.GetStreamChan:
		if err == nil {
			_, err = clientv3.GetStreamToGetResponse(first)
		}
	case clientv3.WatchChan:
		for range first { // the end of the context closes the channel
		}
		return
	case <-chan *clientv3.LeaseKeepAliveResponse:
		for range first { // the end of the context closes the channel
		}
		return
	}
	assert.True(t, err == want, "%s: %v, not %v", name, err, want)
}

// TestRawStubsWithoutAMember: a program calls a gRPC method on the client's connection itself. If
// the context ends, ContextError turns the gRPC error into the context's error.
func TestRawStubsWithoutAMember(t *testing.T) {
	c := testclient.New(t, clientv3.Config{Endpoints: []string{"127.0.0.1:1"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.ActiveConnection().Invoke(ctx, "/etcdserverpb.KV/Put", nil, nil,
		grpc.WaitForReady(true))
	assert.Equal(t, context.DeadlineExceeded, clientv3.ContextError(ctx, err))
}
