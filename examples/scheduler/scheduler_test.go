package main

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

const interval = 10 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Three instances run for an hour, with a job every ten minutes. The one that leads dies in the
// middle. Each job is done once.
func TestEachJobIsDoneOnceAlthoughTheLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		var log jobLog
		first := start(t, cluster, &log)
		synctest.Wait() // the first one leads before the others come
		start(t, cluster, &log)
		start(t, cluster, &log)

		begin := time.Now()
		time.Sleep(31 * time.Minute) // virtual
		first.die()
		time.Sleep(30 * time.Minute)

		jobs := log.done()
		require.Len(t, jobs, 6)
		for i, job := range jobs {
			assert.Equal(t, begin.Add(time.Duration(i+1)*interval).UTC(), job.due)
			assert.Equal(t, i < 3, job.by == first, "at %v", job.due)
		}
	})
}

// While the cluster is down, no job is done. When the cluster is back, the jobs that became due
// meanwhile are done in order.
func TestJobsWaitForTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		var log jobLog
		start(t, cluster, &log)
		begin := time.Now()
		time.Sleep(15 * time.Minute)
		cluster.Member(0).Stop()
		time.Sleep(20 * time.Minute)
		require.Len(t, log.done(), 1)

		cluster.Member(0).Start()
		time.Sleep(2 * time.Minute)
		jobs := log.done()
		require.Len(t, jobs, 3)
		for i, job := range jobs {
			assert.Equal(t, begin.Add(time.Duration(i+1)*interval).UTC(), job.due)
		}
	})
}

type job struct {
	due time.Time
	by  *instance
}

// jobLog is what all instances have done.
type jobLog struct {
	mu   sync.Mutex
	jobs []job
}

func (l *jobLog) add(j job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = append(l.jobs, j)
}

func (l *jobLog) done() []job {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.jobs
}

// instance is one scheduler, as if in a process of its own.
type instance struct {
	client *clientv3.Client
	stop   context.CancelFunc
	ended  chan struct{}
}

// start starts an instance. When the test ends, its cleanup stops the instance.
func start(t *testing.T, cluster *etcdfake.Cluster, log *jobLog) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{client: cluster.Client(quiet), stop: cancel, ended: make(chan struct{})}
	scheduler := Scheduler{Client: i.client, Prefix: "reports", Every: interval, Log: io.Discard,
		Job: func(_ context.Context, due time.Time) { log.add(job{due, i}) }}
	go func() {
		defer close(i.ended)
		scheduler.Run(ctx)
	}()
	t.Cleanup(i.end)
	return i
}

func quiet(cfg *clientv3.Config) { cfg.Logger = zap.NewNop() }

// end stops the instance, which gives up its leadership. It waits until the instance has ended.
func (i *instance) end() {
	i.stop()
	<-i.ended
}

// die ends the instance and does not let it revoke its lease. So another instance can lead only
// after the lease has expired.
func (i *instance) die() {
	_ = i.client.Close()
	i.end()
}
