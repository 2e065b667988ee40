package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// soakLength is ten minutes, or what ETCD_SOAK says as a duration.
func soakLength() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("ETCD_SOAK")); err == nil {
		return d
	}
	return 10 * time.Minute
}

// mixedLoad is the load of 64 concurrent callers. Each makes random calls as fast as it can.
type mixedLoad struct {
	client *clientv3.Client
	calls  atomic.Int64
	failed atomic.Int64
	t      *testing.T
}

const (
	soakCallers  = 64
	soakRangeLen = 512 // keys, each with a value of a kilobyte
)

// one performs one call, picked by chance.
func (l *mixedLoad) one(ctx context.Context, r *rand.Rand) (err error) {
	key := fmt.Sprint("k", r.IntN(1000))
	switch p := r.IntN(100); {
	case p < 45:
		_, err = l.client.Get(ctx, key)
	case p < 60:
		_, err = l.client.Get(ctx, key, clientv3.WithSerializable())
	case p < 80:
		_, err = l.client.Put(ctx, key, "v")
	case p < 90:
		_, err = l.client.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), ">", 0)).
			Then(clientv3.OpPut(key, "w")).Else(clientv3.OpGet(key)).Commit()
	case p < 92:
		_, err = l.client.Put(ctx, "big", strings.Repeat("x", 32<<10))
	case p < 98:
		_, err = l.client.Get(ctx, "r/", clientv3.WithPrefix())
	default:
		var pieces clientv3.GetStreamChan
		if pieces, err = l.client.GetStream(ctx, "r/", clientv3.WithPrefix()); err == nil {
			_, err = clientv3.GetStreamToGetResponse(pieces)
		}
	}
	return err
}

func (l *mixedLoad) run(ctx context.Context, seed uint64) {
	for r := rand.New(rand.NewPCG(seed, 1)); ctx.Err() == nil; {
		// A context of its own: the end of ctx would fail the call.
		one, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := l.one(one, r)
		cancel()
		l.calls.Add(1)
		if err != nil && l.failed.Add(1) < 20 {
			l.t.Log(time.Now().Format(time.StampMilli), err)
		}
	}
}

// compact compacts the store every 10 seconds, so that the store does not grow without limit. It
// compacts at the revision of 10 seconds ago, because reads under way may need newer revisions.
func (l *mixedLoad) compact(ctx context.Context) {
	for rev := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Second):
		}
		resp, err := l.client.Get(ctx, "k0")
		if err == nil && rev > 0 {
			_, err = l.client.Compact(ctx, rev)
		}
		if err == nil {
			rev = resp.Header.Revision
		} else if ctx.Err() == nil {
			l.t.Log("compaction:", err)
		}
	}
}

// handled counts the unary requests for keys that each member has answered.
func handled(t *testing.T, cluster *etcdtest.Cluster) (n []float64) {
	for _, m := range cluster.Members() {
		sum := 0.0
		for _, method := range []string{"Range", "Put", "Txn"} {
			got, err := m.Metric("grpc_server_handled_total{",
				fmt.Sprintf("grpc_method=%q", method))
			require.NoError(t, err)
			sum += got
		}
		n = append(n, sum)
	}
	return n
}

// TestSoakHealthyMembersShareEvenly: each of three healthy members gets a third of a mixed load,
// give or take 5 %, and no call fails. The load takes all of the CPU, so the client and the members
// slow each other down.
func TestSoakHealthyMembersShareEvenly(t *testing.T) {
	testclient.Soak(t)
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	core, logs := observer.New(zap.DebugLevel)
	client := testclient.Open(t, cluster, func(cfg *clientv3.Config) { cfg.Logger = zap.New(core) })
	for i := range soakRangeLen {
		_, err := client.Put(t.Context(), fmt.Sprintf("r/%04d", i), strings.Repeat("x", 1024))
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soakLength())
	defer cancel()
	l := &mixedLoad{client: client, t: t}
	before := handled(t, cluster)
	var work sync.WaitGroup
	for i := range soakCallers {
		work.Go(func() { l.run(ctx, uint64(i)) })
		watch := client.Watch(ctx, fmt.Sprint("k", i))
		work.Go(func() {
			for range watch {
			}
		})
	}
	work.Go(func() { l.compact(ctx) })
	work.Wait()

	got, total := handled(t, cluster), 0.0
	for i := range got {
		got[i] -= before[i]
		total += got[i]
	}
	t.Logf("%d calls in %v, of which the members answered %.0f", l.calls.Load(), soakLength(), got)
	for _, entry := range logs.FilterMessage("member's health changed").All() {
		t.Errorf("%s %v", entry.Time.Format(time.StampMilli), entry.ContextMap())
	}
	assert.Zero(t, l.failed.Load(), "failed calls")
	for i := range got {
		assert.InEpsilon(t, total/3, got[i], 0.05, "share of member %d", i)
	}
}
