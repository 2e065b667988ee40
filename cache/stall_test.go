package cache

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestAWatchThatIsNotConfirmedIsOpenedElsewhere has one of three members accept watches and never
// answer them. The cache opens its watch on another member.
func TestAWatchThatIsNotConfirmedIsOpenedElsewhere(t *testing.T) {
	for frozen := range 3 {
		t.Run(fmt.Sprint("member ", frozen), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := etcdfake.New(t, etcdfake.WithMembers(3))
				cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
					if call.Member == frozen {
						<-call.Context().Done()
					}
					return etcdfake.Pass()
				})
				c, err := New(cluster.Client(), "a/")
				require.NoError(t, err)
				defer c.Close()
				require.NoError(t, c.WaitSynced(within(t, 10*time.Minute)))
			})
		})
	}
}

// stick makes the first n streams of watches confirm their watch, and then send nothing until
// release is called. All later streams work.
func stick(cluster *etcdfake.Cluster, n int) (release func()) {
	stuck, mu, streams := make(chan struct{}), sync.Mutex{}, map[int]bool{}
	cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
		mu.Lock()
		defer mu.Unlock()
		if len(streams) < n {
			streams[call.Stream] = true
		}
		if !streams[call.Stream] {
			return etcdfake.Pass()
		}
		return etcdfake.Edit(func(resp *pb.WatchResponse) {
			if !resp.Created {
				select {
				case <-call.Context().Done():
				case <-stuck:
				}
			}
		})
	})
	return func() { close(stuck) }
}

// TestAStuckStreamIsOpenedAgain has the first streams of the cache's watch deliver no events,
// although the members work. A key changes after the list, or between two pages of it. The cache
// opens another stream and gets the change.
func TestAStuckStreamIsOpenedAgain(t *testing.T) {
	for streams, listing := range map[int]bool{1: false, 2: true} {
		t.Run(fmt.Sprint("while listing: ", listing), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := etcdfake.New(t, etcdfake.WithMembers(3))
				defer stick(cluster, streams)()
				fillRange(t, cluster, 20)
				other, pages := cluster.Client(), atomic.Int64{}
				cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
					if call.Request.(*pb.RangeRequest).Limit > 0 && pages.Add(1) == 2 && listing {
						_, _ = other.Delete(call.Context(), "a/001")
					}
					return etcdfake.Pass()
				})
				c, err := New(cluster.Client(), "a/", WithPageSize(10))
				require.NoError(t, err)
				defer c.Close()
				if !listing {
					require.NoError(t, c.WaitSynced(t.Context()))
					mustPut(t, other, "a/1", "x")
				}
				s, err := c.Fresh(within(t, 5*time.Minute), 0)
				require.NoError(t, err)
				require.Equal(t, cluster.Dump("a/"), contents(s))
				require.EqualValues(t, 1, c.Status().Lists)
			})
		})
	}
}

// TestALostEventIsFoundByAReader has a server lose an event, or every event. A fresh read finds
// that the copy lacks a change, and returns a snapshot with the change.
func TestALostEventIsFoundByAReader(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("it loses it again: ", again), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The cache does not trust notices of progress from this version, because they may
				// overtake events.
				cluster, lost := etcdfake.New(t, etcdfake.WithVersion("3.5.7")), atomic.Int64{}
				cluster.On("Watch", func(*etcdfake.Call) etcdfake.Action {
					return etcdfake.Edit(func(resp *pb.WatchResponse) {
						if len(resp.Events) > 0 && (again || lost.Add(1) == 1) {
							resp.WatchId = 1 << 40
						}
					})
				})
				c := synced(t, cluster.Client(), "a/")
				mustPut(t, cluster.Client(), "a/lost", "y")
				s, err := c.Fresh(within(t, 10*time.Minute), 0)
				require.NoError(t, err)
				require.Equal(t, map[string]string{"a/lost": "y"}, contents(s))
				lists := map[bool]int64{false: 1, true: 2}
				require.Equal(t, lists[again], c.Status().Lists)
			})
		})
	}
}

// TestReadsMayTakeLong has a server answer reads later than the cache's first timeout. The cache
// gets its answer by a later try, which has a longer timeout.
func TestReadsMayTakeLong(t *testing.T) {
	for name, slow := range map[string]func(*pb.RangeRequest) bool{
		"every read":       func(*pb.RangeRequest) bool { return true },
		"what has changed": func(req *pb.RangeRequest) bool { return req.MinModRevision > 0 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				if name != "every read" {
					mute(cluster)
				}
				cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
					if slow(call.Request.(*pb.RangeRequest)) {
						return etcdfake.Delay(20 * time.Second)
					}
					return etcdfake.Pass()
				})
				mustPut(t, cluster.Client(), "b", "outside of the range")
				_, err := c.Fresh(within(t, 5*time.Minute), 0)
				require.NoError(t, err)
			})
		})
	}
}

// TestSlowReadsAreRemembered shows that a cache remembers that its server is slow. The server
// ignores requests for progress, so the cache reads from the server what has changed. The first of
// these reads times out and is repeated, but no later one is.
func TestSlowReadsAreRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mute(cluster)
		scans := atomic.Int64{}
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.RangeRequest).MinModRevision > 0 {
				scans.Add(1)
				return etcdfake.Delay(12 * time.Second)
			}
			return etcdfake.Pass()
		})
		for round := range 5 {
			mustPut(t, cluster.Client(), "b", "outside of the range")
			before := scans.Load()
			_, err := c.Fresh(within(t, 5*time.Minute), 0)
			require.NoError(t, err)
			require.True(t, round == 0 || scans.Load() == before+1)
		}
	})
}

// TestAnIdleCacheSendsOnlyAudits shows which reads a cache without readers sends while others write
// outside of its range: those of its audits. The server sends no notices of progress.
func TestAnIdleCacheSendsOnlyAudits(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mute(cluster)
		other, before := cluster.Client(), cluster.Calls("Range")
		for range 60 {
			mustPut(t, other, "b", "x")
			time.Sleep(time.Minute)
		}
		require.EqualValues(t, c.Status().Audits, cluster.Calls("Range")-before)
	})
}

// TestAStalledWatchDoesNotEndAList has the cache find, while it lists its range, that its watch has
// lost an event. Without the running list, the cache would now start one. It lists the range once.
func TestAStalledWatchDoesNotEndAList(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		slowPages(cluster)
		c.startOver("of the test")
		synctest.Wait()
		v := c.now()
		c.stall = stall{since: time.Now().Add(-time.Hour), logged: v.logged, steps: 1}
		c.proved(errStalled)
		_, err := c.await(t.Context(), func(next *view) bool { return next.lists > v.lists })
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, v.lists+1, c.now().lists)
	})
}

// TestAuditsMoveACopyOn shows that audits raise the revision of a copy that no reader asks for.
// Others write outside of its range for an hour, all but the last minutes is compacted, and the
// watch breaks. The cache need not list its range again.
func TestAuditsMoveACopyOn(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		other := cluster.Client()
		for range 60 {
			mustPut(t, other, "b", "outside of the range")
			time.Sleep(time.Minute)
		}
		cluster.Compact(cluster.Revision() - 12)
		restore := cluster.LoseLeader()
		time.Sleep(5 * time.Second)
		restore()
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, c.Status().Lists)
	})
}

// TestACompactionKeepsAList shows that a list goes on with its next page after a compaction, and
// after its watch stream has ended. Before the compaction, keys outside of the range are written.
func TestACompactionKeepsAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		fillRange(t, cluster, 100)
		other, pages := cluster.Client(), atomic.Int64{}
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.RangeRequest).Limit > 0 {
				switch pages.Add(1) {
				case 4:
					for range 10 {
						_, _ = other.Put(call.Context(), "b", "outside of the range")
					}
				case 8:
					cluster.Compact(cluster.Revision())
					cluster.Member(0).EndStreams("Watch", status.Error(codes.Unavailable, "cut"))
				}
				return etcdfake.Delay(time.Second)
			}
			return etcdfake.Pass()
		})
		c := synced(t, cluster.Client(), "a/", WithPageSize(10))
		require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
		require.EqualValues(t, 10, pages.Load())
	})
}

// TestServersAreUpgraded upgrades a member from a version whose notices of progress may overtake
// events. An hour later, the cache trusts the notices of the new version.
func TestServersAreUpgraded(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		cluster.On("Status", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Edit(func(resp *pb.StatusResponse) { resp.Version = "3.5.7" })
		})
		readFresh(t, cluster, c, 20)
		cluster.Member(0).Stop()
		cluster.On("Status", nil)
		cluster.Member(0).Start()
		time.Sleep(time.Hour)
		readFresh(t, cluster, c, 20)
		time.Sleep(time.Hour)
		before := cluster.Calls("Range")
		readFresh(t, cluster, c, 100)
		require.LessOrEqual(t, cluster.Calls("Range")-before, 110)
	})
}

// TestALimitedRateDoesNotShrinkPages has a proxy refuse reads for half a minute with the code that
// also means that a page is too large. The cache does not read smaller pages afterwards.
func TestALimitedRateDoesNotShrinkPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t, etcdfake.WithVersion("3.6.1"))
		fillRange(t, cluster, 300)
		start := time.Now()
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if time.Since(start) < 30*time.Second {
				return etcdfake.Refuse(status.Error(codes.ResourceExhausted, "rate limit"))
			}
			return etcdfake.Pass()
		})
		before := cluster.Calls("Range")
		synced(t, cluster.Client(), "a/")
		require.Less(t, cluster.Calls("Range")-before, 40)
	})
}

// singleKeys is a KV that answers gets of one key from memory, always with the old revision 1.
type singleKeys struct{ clientv3.KV }

func (k singleKeys) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	if op := clientv3.OpGet(key, opts...); len(op.RangeBytes()) > 0 {
		return k.KV.Get(ctx, key, opts...)
	}
	return &clientv3.GetResponse{Header: &pb.ResponseHeader{Revision: 1}}, nil
}

// TestQuestionsAreNotAnsweredFromMemory shows that a cache learns only from the server how fresh
// its copy is. It does not believe the client's KV, which answers gets of one key from memory, like
// a leasing KV.
func TestQuestionsAreNotAnsweredFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		client.KV = singleKeys{client.KV}
		c := synced(t, client, "a/")
		readFresh(t, cluster, c, 20)
		require.EqualValues(t, 1, c.Status().Lists)
	})
}

// TestStreamsGoOnAtARevisionOfTheServer breaks the stream of a list. A second stream reads the
// rest, at a revision that the server has returned. The cache does not use the old revision that
// the client's KV returns for a get of one key, which this KV answers from memory.
func TestStreamsGoOnAtARevisionOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		fillRange(t, cluster, 300)
		var paged atomic.Int64
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.RangeRequest).Limit > 0 {
				paged.Add(1)
			}
			return etcdfake.Pass()
		})
		pieces(cluster, func(n int, _ *pb.RangeStreamResponse) {
			if n == 3 {
				cluster.Member(0).EndStreams("RangeStream", status.Error(codes.Internal, "broken"))
			}
		})
		client := cluster.Client()
		client.KV = singleKeys{client.KV}
		c := synced(t, client, "a/", pageOf(7))
		require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
		require.Equal(t, 2, cluster.Calls("RangeStream"))
		require.EqualValues(t, 1, paged.Load(), "only the first keys are read by a page")
	})
}
