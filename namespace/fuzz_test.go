package namespace_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// sharedClient makes a client of the real server, and grants the lease leaseID if it does not exist
// yet.
func sharedClient(tb testing.TB) *clientv3.Client {
	tb.Helper()
	client := newClient(tb, cluster.Endpoints()...)
	_, err := clientv3.RetryLeaseClient(client).LeaseGrant(tb.Context(),
		&pb.LeaseGrantRequest{ID: leaseID, TTL: 9999})
	if err != nil && clientv3.ContextError(tb.Context(), err) != rpctypes.ErrLeaseExist {
		require.NoError(tb, err)
	}
	return client
}

// check takes its random choices from data: a prefix, and requests to send in the namespace with
// this prefix. It compares the responses with those of a model.
func check(t *testing.T, real *clientv3.Client, data []byte) {
	c := choices(data)
	w := newWorld(t, real, prefixes[c.n(len(prefixes))])
	compareLive := w.watchBoth(t, &c, 3, 0)
	for len(c) > 0 {
		w.both(t, c.step())
	}
	w.unharmed(t)
	compareLive()
	c = choices(data)
	w.watchBoth(t, &c, 6, w.now(t))()
}

// histories is how many random histories the test runs.
const histories = 60

// TestRandomHistoriesEqualAModel runs random requests in a namespace of a real server and in an
// in-memory model of a server without other keys. The seed is the test's name.
func TestRandomHistoriesEqualAModel(t *testing.T) {
	real := sharedClient(t)
	for seed := range uint64(histories) {
		t.Run("", func(t *testing.T) {
			check(t, real, randomHistory(seed))
		})
	}
}

func randomHistory(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, 600)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// FuzzNamespace sends requests that the fuzzer chooses to a namespace and to the model of
// TestRandomHistoriesEqualAModel, and compares the responses.
func FuzzNamespace(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add([]byte{3, 5, 9, 2, 1})
	real := sharedClient(f)
	f.Fuzz(func(t *testing.T, data []byte) { check(t, real, data[:min(len(data), 1000)]) })
}
