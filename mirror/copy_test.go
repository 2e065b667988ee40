package mirror_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/mirror"
)

const (
	transactions = 4000
	changesEach  = 5
)

// TestTwoClustersAreEqual mirrors 20,000 changes from one real cluster to another, while the
// network fails and the source is restarted.
func TestTwoClustersAreEqual(t *testing.T) {
	etcdtest.NeedsEtcd(t, "disk to restart from")
	source, target := etcdtest.Start(t), etcdtest.Start(t)
	endpoint, err := url.Parse(source.Endpoints()[0])
	require.NoError(t, err)
	proxy := faultnet.New(t, endpoint.Host)
	writer, reader, copier := newClient(t, source.Endpoints()...), newClient(t, proxy.Addr()),
		newClient(t, target.Endpoints()...)
	for i := range 2500 { // a base of several pages
		_, err := writer.Put(t.Context(), fmt.Sprintf("m/base%05d", i), "v")
		require.NoError(t, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	s := mirror.NewSyncer(reader, "m/", 0)
	c := &copyist{kv: copier.KV}
	pages, errs := s.SyncBase(ctx)
	var work sync.WaitGroup
	final := make(chan int64, 1)
	work.Go(func() { final <- write(t, writer) })
	faults := 0
	work.Go(func() { faults = breakThings(ctx, t, proxy, source.Members()[0]) })
	for page := range pages {
		c.base(t, page.Kvs)
	}
	require.NoError(t, <-errs)
	updates := s.SyncUpdates(ctx)
	end := int64(-1)
	for end < 0 || c.rev < end {
		select {
		case end = <-final:
		case resp, ok := <-updates:
			require.True(t, ok)
			require.NoError(t, resp.Err())
			c.apply(t, resp.Events)
		}
	}
	cancel()
	work.Wait()
	require.Greater(t, faults, 8, "every kind of fault")
	require.Equal(t, transactions, c.revisions, "each revision came once, and whole")
	require.Equal(t, transactions*changesEach, c.changes)
	require.Equal(t, contents(t, writer), contents(t, copier))
}

// write makes all transactions and returns the revision of the last one. If the response to a
// transaction is lost, write sends the transaction again. Each transaction compares and increases a
// counter, so the server applies it only once.
func write(t *testing.T, client *clientv3.Client) int64 {
	ctx, rng := t.Context(), rand.New(rand.NewPCG(1, 2))
	exists := map[string]bool{}
	before := clientv3.Compare(clientv3.Version(counter), "=", 0)
	for i := range transactions {
		ops := []clientv3.Op{clientv3.OpPut(counter, fmt.Sprint(i))}
		for j := 1; j < changesEach; j++ {
			key := fmt.Sprintf("m/%d/%03d", j, rng.IntN(300)) // no key twice in a transaction
			if exists[key] && rng.IntN(2) == 0 {
				ops = append(ops, clientv3.OpDelete(key))
			} else {
				ops = append(ops, clientv3.OpPut(key, fmt.Sprint(i)))
			}
			exists[key] = ops[j].IsPut()
		}
		require.Eventually(t, func() bool {
			_, err := client.Txn(ctx).If(before).Then(ops...).Commit()
			return err == nil
		}, waitFor, tick)
		before = clientv3.Compare(clientv3.Value(counter), "=", fmt.Sprint(i))
	}
	resp, err := client.Get(ctx, counter)
	require.NoError(t, err)
	return resp.Kvs[0].ModRevision
}

const counter = "m/counter"

// breakThings makes the network of the reader fail and heal until ctx ends, and restarts the source
// once. It returns the number of these steps.
func breakThings(
	ctx context.Context, t *testing.T, proxy *faultnet.Proxy, source *etcdtest.Member,
) int {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			proxy.Heal()
			return i
		}
		switch {
		case i == 5:
			assert.NoError(t, source.Restart())
		case i%8 == 1:
			proxy.Reset()
		case i%8 == 3:
			proxy.CutAfter(faultnet.ToClient, 10_000)
		case i%8 == 5:
			proxy.Blackhole(faultnet.Both)
		default:
			proxy.Heal()
		}
	}
}

// copyist applies the pages and updates of a Syncer to kv.
type copyist struct {
	kv        clientv3.KV
	rev       int64 // the source's revision of the last update applied
	revisions int
	changes   int
}

func (c *copyist) base(t *testing.T, kvs []*mvccpb.KeyValue) {
	for len(kvs) > 0 {
		var ops []clientv3.Op
		for _, kv := range kvs[:min(100, len(kvs))] {
			ops = append(ops, clientv3.OpPut(string(kv.Key), string(kv.Value)))
		}
		kvs = kvs[len(ops):]
		_, err := c.kv.Txn(t.Context()).Then(ops...).Commit()
		require.NoError(t, err)
	}
}

// apply copies the changes of each revision to kv, in one transaction for each revision.
func (c *copyist) apply(t *testing.T, events []*clientv3.Event) {
	for len(events) > 0 {
		rev := events[0].Kv.ModRevision
		require.Greater(t, rev, c.rev, "in order, and once")
		var ops []clientv3.Op
		for len(events) > 0 && events[0].Kv.ModRevision == rev {
			kv := events[0].Kv
			ops = append(ops, clientv3.OpPut(string(kv.Key), string(kv.Value)))
			if events[0].Type == clientv3.EventTypeDelete {
				ops[len(ops)-1] = clientv3.OpDelete(string(kv.Key))
			}
			events = events[1:]
		}
		_, err := c.kv.Txn(t.Context()).Then(ops...).Commit()
		require.NoError(t, err)
		c.rev, c.revisions, c.changes = rev, c.revisions+1, c.changes+len(ops)
	}
}

// contents returns a cluster's keys with the prefix "m/", and their values.
func contents(t *testing.T, client *clientv3.Client) map[string]string {
	t.Helper()
	resp, err := client.Get(t.Context(), "m/", clientv3.WithPrefix())
	require.NoError(t, err)
	all := map[string]string{}
	for _, kv := range resp.Kvs {
		all[string(kv.Key)] = string(kv.Value)
	}
	return all
}
