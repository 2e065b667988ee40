package cache_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// writeSteadily writes keys that begin with "other/" until the benchmark ends. The parameter rate
// is the number of writes a second.
func writeSteadily(b *testing.B, cluster *etcdtest.Cluster, rate int) {
	b.Helper()
	if rate == 0 {
		return
	}
	client := testclient.Open(b, cluster)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	due := make(chan int, rate)
	for range 32 {
		running.Go(func() {
			for n := range due {
				_, _ = client.Put(ctx, fmt.Sprintf("other/%d", n%100), "value")
			}
		})
	}
	running.Go(func() {
		defer close(due)
		start, sent := time.Now(), 0
		for ctx.Err() == nil {
			for want := int(time.Since(start).Seconds() * float64(rate)); sent < want; sent++ {
				select {
				case due <- sent:
				default:
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	b.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// measure runs f b.N times and reports its latencies.
func measure(b *testing.B, f func() error) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkLinearizableReads compares Get at the server with Fresh of a cache. One caller reads in
// sequence, while other keys are written.
func BenchmarkLinearizableReads(b *testing.B) {
	for _, members := range []int{1, 3} {
		cluster := etcdtest.Start(b, etcdtest.WithMembers(members))
		client := testclient.Open(b, cluster)
		c := synced(b, client, "a/")
		_, err := client.Put(b.Context(), "a/k", "v")
		require.NoError(b, err)
		for _, rate := range []int{0, 500, 4000} {
			name := fmt.Sprintf("members=%d/writes=%d", members, rate)
			b.Run(name+"/get", func(b *testing.B) {
				writeSteadily(b, cluster, rate)
				measure(b, func() error {
					_, err := client.Get(b.Context(), "a/k")
					return err
				})
			})
			b.Run(name+"/fresh", func(b *testing.B) {
				writeSteadily(b, cluster, rate)
				measure(b, func() error {
					_, err := c.Fresh(b.Context(), 0)
					return err
				})
			})
		}
	}
}

// BenchmarkManyReaders measures Fresh with 64 callers at once, and how many messages the client
// sends to the server for each read.
func BenchmarkManyReaders(b *testing.B) {
	cluster := etcdtest.Start(b)
	var progress atomic.Int64
	client := testclient.Open(b, cluster, func(cfg *clientv3.Config) {
		cfg.DialOptions = append(cfg.DialOptions, grpc.WithChainStreamInterceptor(
			func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
				streamer grpc.Streamer, opts ...grpc.CallOption,
			) (grpc.ClientStream, error) {
				s, err := streamer(ctx, desc, cc, method, opts...)
				return &countedStream{s, &progress}, err
			}))
	})
	c := synced(b, client, "a/")
	for _, rate := range []int{0, 500} {
		b.Run(fmt.Sprintf("writes=%d", rate), func(b *testing.B) {
			writeSteadily(b, cluster, rate)
			before, sent := c.Status().Questions, progress.Load()
			var readers sync.WaitGroup
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			for range 64 {
				readers.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := c.Fresh(b.Context(), 0); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			readers.Wait()
			messages := c.Status().Questions - before + progress.Load() - sent
			b.ReportMetric(float64(messages)/float64(b.N), "messages/read")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
		})
	}
}

// countedStream counts the messages that are sent.
type countedStream struct {
	grpc.ClientStream
	sent *atomic.Int64
}

func (s *countedStream) SendMsg(m any) error {
	s.sent.Add(1)
	return s.ClientStream.SendMsg(m)
}

// BenchmarkListOf10000Keys compares ways to read 10,000 keys: from the server, from a cache through
// its KV, and from a snapshot of the cache. All reads are linearizable, or at most 1 s old
// ("fresh-1s").
func BenchmarkListOf10000Keys(b *testing.B) {
	cluster := etcdtest.Start(b)
	client := testclient.Open(b, cluster)
	value := string(make([]byte, 256))
	for n := 0; n < 10_000; n += 100 {
		var ops []clientv3.Op
		for i := range 100 {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("a/%06d", n+i), value))
		}
		_, err := client.Txn(b.Context()).Then(ops...).Commit()
		require.NoError(b, err)
	}
	c := synced(b, client, "a/")
	kv := c.KV()
	for _, rate := range []int{0, 500} {
		for name, get := range map[string]func() error{
			"server": func() error {
				_, err := client.Get(b.Context(), "a/", clientv3.WithPrefix())
				return err
			},
			"kv": func() error {
				_, err := kv.Get(b.Context(), "a/", clientv3.WithPrefix())
				return err
			},
			"fresh": func() error {
				s, err := c.Fresh(b.Context(), 0)
				for range s.All() {
				}
				return err
			},
			"fresh-1s": func() error {
				s, err := c.Fresh(b.Context(), time.Second)
				for range s.All() {
				}
				return err
			},
		} {
			b.Run(fmt.Sprintf("writes=%d/%s", rate, name), func(b *testing.B) {
				writeSteadily(b, cluster, rate)
				measure(b, get)
			})
		}
	}
}

// BenchmarkWritersOfOneKey runs eight writers that increment one number. It compares the
// transactions of concurrency.NewSTM with Update of a cache.
func BenchmarkWritersOfOneKey(b *testing.B) {
	cluster := etcdtest.Start(b, etcdtest.WithMembers(1))
	client := testclient.Open(b, cluster)
	run := func(b *testing.B, increment func() error) {
		var writers sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(b.N))
		b.ResetTimer()
		for range 8 {
			writers.Go(func() {
				for left.Add(-1) >= 0 {
					if err := increment(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
	}
	var attempts atomic.Int64
	b.Run("stm", func(b *testing.B) {
		attempts.Store(0)
		run(b, func() error {
			_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
				attempts.Add(1)
				n, _ := strconv.Atoi(stm.Get("a/stm"))
				stm.Put("a/stm", strconv.Itoa(n+1))
				return nil
			})
			return err
		})
		b.ReportMetric(float64(attempts.Load())/float64(b.N), "attempts/update")
	})
	c := synced(b, client, "a/")
	b.Run("update", func(b *testing.B) {
		attempts.Store(0)
		run(b, func() error {
			_, err := c.Update(b.Context(), func(tx *cache.Tx) error {
				attempts.Add(1)
				kv, _ := tx.Get("a/n")
				n, _ := strconv.Atoi(string(kv.GetValue()))
				tx.Put("a/n", strconv.Itoa(n+1))
				return nil
			})
			return err
		})
		b.ReportMetric(float64(attempts.Load())/float64(b.N), "attempts/update")
	})
}
