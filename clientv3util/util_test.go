package clientv3util_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
)

// TestConditionsAgainstAServer evaluates KeyExists and KeyMissing before a key is created, while it
// exists, and after it was deleted.
func TestConditionsAgainstAServer(t *testing.T) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints()})
	require.NoError(t, err)
	defer func() { assert.NoError(t, client.Close()) }()
	ctx, key := t.Context(), "life of a key"

	holds := func(cmp clientv3.Cmp) bool {
		resp, err := client.Txn(ctx).If(cmp).Commit()
		require.NoError(t, err)
		return resp.Succeeded
	}
	check := func(exists bool, when string) {
		t.Helper()
		assert.Equal(t, exists, holds(clientv3util.KeyExists(key)), when)
		assert.Equal(t, !exists, holds(clientv3util.KeyMissing(key)), when)
	}
	put := func(val string) {
		_, err := client.Put(ctx, key, val)
		require.NoError(t, err)
	}

	check(false, "before the first put")
	put("")
	check(true, "with an empty value")
	put("again")
	check(true, "after a second put")
	_, err = client.Delete(ctx, key)
	require.NoError(t, err)
	check(false, "after the delete")
	put("anew")
	check(true, "after a new put")
}
