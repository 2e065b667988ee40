package clientv3

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc"
)

// TestEveryMethodWithoutAMember calls each method of each interface that the client
// embeds while no member can be reached: each returns its context's error itself.
func TestEveryMethodWithoutAMember(t *testing.T) {
	const nowhere = "127.0.0.1:1"
	c := newTestClient(t, Config{Endpoints: []string{nowhere}})
	methods := 0
	for _, typ := range []reflect.Type{
		reflect.TypeFor[KV](), reflect.TypeFor[Lease](), reflect.TypeFor[Watcher](),
		reflect.TypeFor[Auth](), reflect.TypeFor[Cluster](), reflect.TypeFor[Maintenance](),
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

// requireInterrupted looks at the results of a method whose context has ended.
func requireInterrupted(t *testing.T, want error, name string, results []reflect.Value) {
	t.Helper()
	err, _ := results[len(results)-1].Interface().(error)
	switch first := results[0].Interface().(type) {
	case Txn:
		_, err = first.Commit()
	case GetStreamChan:
		if err == nil {
			_, err = GetStreamToGetResponse(first)
		}
	case WatchChan:
		for range first { // closed by the context
		}
		return
	case <-chan *LeaseKeepAliveResponse:
		for range first { // likewise
		}
		return
	}
	assert.True(t, err == want, "%s: %v, not %v", name, err, want)
}

// TestRawStubsWithoutAMember shows the same for errors of a user's own stubs, by
// ContextError.
func TestRawStubsWithoutAMember(t *testing.T) {
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.ActiveConnection().Invoke(ctx, "/etcdserverpb.KV/Put", nil, nil,
		grpc.WaitForReady(true))
	assert.Equal(t, context.DeadlineExceeded, ContextError(ctx, err))
}
