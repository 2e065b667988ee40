// Package kv_test tests Get, Put, Delete, Txn and GetStream: the requests that the client sends,
// when it sends them again, and what it returns.
package kv_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustPut puts a key and returns the revision of the put.
func mustPut(t *testing.T, kv clientv3.KV, key, val string) int64 {
	t.Helper()
	resp, err := kv.Put(t.Context(), key, val)
	require.NoError(t, err)
	return resp.Header.Revision
}

// keysOf joins the keys of kvs.
func keysOf(kvs []*mvccpb.KeyValue) string {
	keys := make([]string, len(kvs))
	for i, kv := range kvs {
		keys[i] = string(kv.Key)
	}
	return strings.Join(keys, " ")
}

// requireProto fails the test unless both messages are equal.
func requireProto(t *testing.T, want, got proto.Message) {
	t.Helper()
	require.True(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
}

// panicText returns the text that f panics with, and "" if it does not panic.
func panicText(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = v.(string)
		}
	}()
	f()
	return ""
}
