package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/chaos"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

const (
	skewPrefix = "skew/"
	dutyPrefix = skewPrefix + "duty/"
	mostOnDuty = 4
	alice, bob = skewPrefix + "alice", skewPrefix + "bob"
)

// errRule is returned by the function of an Update whose writes would break the rules of
// [updatesUnderFaults].
var errRule = errors.New("against the rules")

// toggle switches the key own, alice or bob, from on to off duty or back. It returns errRule if
// both keys would be off duty then.
func toggle(tx *cache.Tx, own, other string) error {
	kv, _ := tx.Get(own)
	next := "on"
	if string(kv.GetValue()) == "on" {
		if kv, _ := tx.Get(other); string(kv.GetValue()) != "on" {
			return errRule
		}
		next = "off"
	}
	tx.Put(own, next)
	return nil
}

// If adds is true, change puts the key on duty, unless mostOnDuty keys are on duty. If adds is
// false, it takes a random key off duty.
func change(tx *cache.Tx, key string, adds bool) error {
	var onDuty []string
	for kv := range tx.Range(dutyPrefix, clientv3.GetPrefixRangeEnd(dutyPrefix)) {
		onDuty = append(onDuty, string(kv.Key))
	}
	switch {
	case adds && len(onDuty) < mostOnDuty:
		tx.Put(key, "")
	case !adds && len(onDuty) > 0:
		tx.Delete(onDuty[rand.IntN(len(onDuty))])
	default:
		return errRule
	}
	return nil
}

// updates counts the Updates of all workers by their result.
type updates struct{ committed, refused, failed atomic.Int64 }

// work runs Updates until ctx ends.
func (u *updates) work(ctx context.Context, c *cache.Cache, worker int) {
	for n := 0; ctx.Err() == nil; n++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.Update(attempt, func(tx *cache.Tx) error {
			switch dice := rand.IntN(4); dice {
			case 0:
				return toggle(tx, alice, bob)
			case 1:
				return toggle(tx, bob, alice)
			default:
				return change(tx, fmt.Sprintf("%s%d.%d", dutyPrefix, worker, n), dice == 2)
			}
		})
		cancel()
		switch {
		case err == nil:
			u.committed.Add(1)
		case errors.Is(err, errRule):
			u.refused.Add(1)
		default:
			u.failed.Add(1)
		}
	}
}

// requireRules replays all revisions from first to last, and requires that the rules of
// [updatesUnderFaults] hold at each.
func requireRules(t *testing.T, client *clientv3.Client, first, last int64) (revisions int) {
	t.Helper()
	state := map[string]string{alice: "on", bob: "on"}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for resp := range client.Watch(ctx, skewPrefix, clientv3.WithPrefix(),
		clientv3.WithRev(first)) {
		require.NoError(t, resp.Err())
		for i, ev := range resp.Events {
			key := string(ev.Kv.Key)
			if state[key] = string(ev.Kv.Value); ev.Type == clientv3.EventTypeDelete {
				delete(state, key)
			}
			if i+1 < len(resp.Events) && resp.Events[i+1].Kv.ModRevision == ev.Kv.ModRevision {
				continue
			}
			revisions++
			require.Contains(t, []string{state[alice], state[bob]}, "on", ev.Kv.ModRevision)
			require.LessOrEqual(t, len(state)-2, mostOnDuty, ev.Kv.ModRevision)
			if ev.Kv.ModRevision >= last {
				return revisions
			}
		}
	}
	require.FailNow(t, "the watch did not reach the last revision")
	return 0
}

// updatesUnderFaults runs Update on several caches while members of a real cluster are broken.
// There are two rules: alice or bob is on duty, and at most mostOnDuty keys begin with dutyPrefix.
// Each Update reads keys and writes only if the rules hold afterwards. The rules must hold at every
// revision.
func updatesUnderFaults(t *testing.T, lasting, longest time.Duration) {
	cluster := chaos.Start(t)
	direct := testclient.Open(t, cluster.Cluster)
	resp, err := direct.Txn(t.Context()).Then(clientv3.OpPut(alice, "on"),
		clientv3.OpPut(bob, "on")).Commit()
	require.NoError(t, err)
	first := resp.Header.Revision + 1
	ctx, stop := context.WithTimeout(t.Context(), lasting)
	defer stop()
	var did updates
	var workers sync.WaitGroup
	for i := range 3 {
		c := synced(t, testclient.New(t, clientv3.Config{Endpoints: cluster.ProxyEndpoints()}),
			skewPrefix)
		for j := range 2 {
			workers.Go(func() { did.work(ctx, c, 2*i+j) })
		}
	}
	faults := cluster.Break(ctx, longest)
	workers.Wait()
	// This Put ends the history that is checked. A transaction that is applied after it is not
	// checked.
	end, err := direct.Put(t.Context(), alice, "on")
	require.NoError(t, err)
	revisions := requireRules(t, direct, first, end.Header.Revision)
	t.Logf("%d faults in %v; %d Updates committed, %d refused by the rules, %d failed; "+
		"%d revisions", faults, lasting, did.committed.Load(), did.refused.Load(),
		did.failed.Load(), revisions)
	require.Greater(t, did.committed.Load(), int64(20*lasting.Seconds()))
	require.Positive(t, did.refused.Load())
}

// TestUpdatesKeepRulesUnderFaults shows that Updates see neither write skew nor phantoms, while
// members are killed, stopped and cut off.
func TestUpdatesKeepRulesUnderFaults(t *testing.T) {
	updatesUnderFaults(t, 8*time.Second, 1500*time.Millisecond)
}
