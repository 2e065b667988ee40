package endpoints

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// TestViewFoldsToTheStore makes random changes of endpoints. The view, which turns events and lists
// into updates, gets some changes as events and misses others until the next list. After each list,
// the updates together must result in the stored endpoints.
func TestViewFoldsToTheStore(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	v := &view{prefix: "svc/", revs: map[string]int64{}}
	store, told := map[string]*mvccpb.KeyValue{}, Key2EndpointMap{}
	fold := func(ups []*Update) {
		for _, up := range ups {
			if up.Op == Delete {
				require.Contains(t, told, up.Key)
				delete(told, up.Key)
			} else {
				told[up.Key] = up.Endpoint
			}
		}
	}
	for rev := int64(1); rev <= 5000; rev++ {
		key := fmt.Sprintf("svc/%d", rnd.IntN(20))
		ev := &mvccpb.Event{Type: mvccpb.Event_PUT,
			Kv: &mvccpb.KeyValue{Key: []byte(key), Value: fmt.Appendf(nil, `{"Addr":"%d"}`, rev),
				ModRevision: rev}}
		if _, exists := store[key]; exists && rnd.IntN(2) == 0 {
			ev = &mvccpb.Event{Type: mvccpb.Event_DELETE,
				Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: rev}}
			delete(store, key)
		} else {
			store[key] = ev.Kv
		}
		if rnd.IntN(4) > 0 {
			fold(v.apply([]*mvccpb.Event{ev}))
			continue
		}
		var kvs []*mvccpb.KeyValue
		for _, kv := range store {
			kvs = append(kvs, kv)
		}
		ups := v.list(kvs)
		fold(ups)
		require.Len(t, told, len(store))
		for key, kv := range store {
			ep, err := decode(kv.Value)
			require.NoError(t, err)
			require.Equal(t, ep, told[key])
		}
		require.Empty(t, v.list(kvs), "nothing is told twice")
	}
}
