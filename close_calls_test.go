package clientv3

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// TestEveryMethodAfterCloseFails calls each method of each interface that the client
// embeds, with a context that never ends: none of them waits, and each says that
// the client is closed.
func TestEveryMethodAfterCloseFails(t *testing.T) {
	s := etcdfake.Start(t)
	c, err := New(Config{Endpoints: []string{s.Addr()}, Logger: zap.NewNop()})
	require.NoError(t, err)
	_, err = c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	require.NoError(t, c.Close())
	methods := 0
	for _, typ := range []reflect.Type{
		reflect.TypeFor[KV](), reflect.TypeFor[Lease](), reflect.TypeFor[Watcher](),
		reflect.TypeFor[Auth](), reflect.TypeFor[Cluster](), reflect.TypeFor[Maintenance](),
	} {
		for i := range typ.NumMethod() {
			name := typ.Method(i).Name
			if name == "Close" {
				continue
			}
			method := reflect.ValueOf(c).MethodByName(name)
			args := argumentsOf(t, method.Type(), s.Addr())
			assert.Less(t, quickest(func() {
				requireClosedCall(t, name, method.Call(args))
			}), 50*time.Millisecond, name)
			methods++
		}
	}
	assert.Greater(t, methods, 40)
}

// argumentsOf returns arguments for a method, without those of variadic parameters.
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
		case in == reflect.TypeFor[Op]():
			args = append(args, reflect.ValueOf(OpPut("k", "v")))
		case in == reflect.TypeFor[*AlarmMember]():
			args = append(args, reflect.ValueOf(&AlarmMember{}))
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	return args
}

// requireClosedCall looks at the results of a method: a channel that is closed, or an
// error that tells why.
func requireClosedCall(t *testing.T, name string, results []reflect.Value) {
	t.Helper()
	switch last := results[len(results)-1].Interface().(type) {
	case error:
		assert.True(t, IsConnCanceled(last), "%s: %v", name, last)
	case Txn:
		_, err := last.Commit()
		assert.True(t, IsConnCanceled(err), "%s: %v", name, err)
	case WatchChan:
		_, open := <-last
		assert.False(t, open, name)
	default:
		assert.Fail(t, "no error", "%s returned %v", name, last)
	}
}
