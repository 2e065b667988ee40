package faults_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestReturnedMemberCatchesUp: a member that was stopped while its peers applied thousands of
// writes refuses proposals until it has applied them too. No write fails because of that.
func TestReturnedMemberCatchesUp(t *testing.T) {
	const missed = 6000 // a member that is behind by 5,000 writes refuses proposals
	b := newBench3(t, clientv3.Config{Logger: zap.NewNop()})
	ctx, cancel := context.WithCancel(t.Context())
	wait := b.start(ctx)
	rates(time.Second)
	stopped, leader := b.cluster.Members()[(b.leader+1)%3], b.cluster.Members()[b.leader]
	proxy := b.proxies[(b.leader+1)%3]
	accepted := proxy.Accepted()
	require.NoError(t, stopped.Pause())
	testclient.Eventually(t, func() bool { return proxy.Accepted() > accepted },
		"the client has closed its connection and tries another")
	written := b.writes.Load()
	testclient.Eventually(t, func() bool { return b.writes.Load() > written+20*faultWriters },
		"the writers go on")
	failed := b.failedWrites.Load()
	direct := testclient.New(t, clientv3.Config{Endpoints: []string{leader.Endpoint()},
		Logger: zap.NewNop()})
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
	for range 32 { // with so many writers, the returned member gets some of the writes
		work.Go(func() {
			b.repeat(ctx, &b.writes, &b.failedWrites, func(ctx context.Context) error {
				_, err := b.client.Put(ctx, "k", "v")
				return err
			})
		})
	}
	require.NoError(t, stopped.Resume())
	requireCaughtUp(t, stopped, leader)
	rates(time.Second)
	cancel()
	wait()
	work.Wait()
	assert.Equal(t, failed, b.failedWrites.Load(), "failed writes since its return")
	assert.LessOrEqual(t, failed, int64(faultWriters))
	assert.Zero(t, b.failedReads.Load(), "failed reads")
}

// requireCaughtUp waits until member has applied what leader has applied by now.
func requireCaughtUp(t *testing.T, member, leader *etcdtest.Member) {
	t.Helper()
	c := testclient.New(t, clientv3.Config{Endpoints: []string{leader.Endpoint()},
		Logger: zap.NewNop()})
	want, err := c.Status(t.Context(), leader.Endpoint())
	require.NoError(t, err)
	testclient.Eventually(t, func() bool {
		got, err := c.Status(t.Context(), member.Endpoint())
		return err == nil && got.RaftAppliedIndex >= want.RaftAppliedIndex
	}, "the member has caught up")
}
