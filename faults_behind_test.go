package clientv3

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// TestReturnedMemberCatchesUp: a member that was stopped while its peers took thousands of writes
// refuses proposals until it has applied those. No write fails for that.
func TestReturnedMemberCatchesUp(t *testing.T) {
	const missed = 6000 // servers refuse from 5,000
	b := newBench3(t, Config{Logger: zap.NewNop()})
	ctx, cancel := context.WithCancel(t.Context())
	wait := b.load(ctx)
	b.rate(time.Second)
	stopped, leader := b.cluster.Members()[(b.leader+1)%3], b.cluster.Members()[b.leader]
	require.NoError(t, stopped.Pause())
	b.rate(2 * time.Second) // in which its connection is given up
	failed := b.failedWrites.Load()
	direct := newTestClient(t, Config{Endpoints: []string{leader.Endpoint()}, Logger: zap.NewNop()})
	first, err := direct.Get(t.Context(), "k")
	require.NoError(t, err)
	var work sync.WaitGroup
	for range 32 {
		work.Go(func() {
			for revision := first.Header.Revision; revision < first.Header.Revision+missed; {
				put, err := direct.Put(t.Context(), "other", "v")
				if !assert.NoError(t, err) {
					return
				}
				revision = put.Header.Revision
			}
		})
	}
	work.Wait()
	for range 32 { // so that some come while it catches up
		work.Go(func() {
			b.repeat(ctx, &b.writes, &b.failedWrites, func(ctx context.Context) error {
				_, err := b.client.Put(ctx, "k", "v")
				return err
			})
		})
	}
	require.NoError(t, stopped.Resume())
	b.rate(3 * time.Second)
	cancel()
	wait()
	work.Wait()
	assert.Equal(t, failed, b.failedWrites.Load(), "failed writes since its return")
	assert.LessOrEqual(t, failed, int64(faultWriters))
	assert.Zero(t, b.failedReads.Load(), "failed reads")
}
