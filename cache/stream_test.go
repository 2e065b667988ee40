package cache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// pageOf sets the number of keys in the page with which a list begins. A stream reads the rest.
// Without this option, the page would contain the whole small range of a test.
func pageOf(keys int) Option { return func(o *options) { o.pageSize = keys } }

// fillRange puts keys that begin with "a/".
func fillRange(t *testing.T, cluster *etcdfake.Cluster, keys int) {
	t.Helper()
	client := cluster.Client()
	for i := range keys {
		mustPut(t, client, fmt.Sprintf("a/%03d", i), fmt.Sprint("value ", i))
	}
}

// pieces calls f before each message of a stream is sent, with the number of the message.
func pieces(cluster *etcdfake.Cluster, f func(n int, piece *pb.RangeStreamResponse)) {
	n := atomic.Int64{}
	edit := etcdfake.Edit(func(piece *pb.RangeStreamResponse) {
		time.Sleep(10 * time.Millisecond) // lets the previous message arrive
		f(int(n.Add(1)), piece)
	})
	cluster.On("RangeStream", func(*etcdfake.Call) etcdfake.Action { return edit })
}

// TestLargeRangesAreStreamed shows that a cache reads a large range by one page and one stream. It
// misses no change of a key that is made during the stream, whether the stream has already sent the
// key or not.
func TestLargeRangesAreStreamed(t *testing.T) {
	for name, opts := range map[string][]Option{
		"with values": nil, "keys only": {WithKeysOnly()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := etcdfake.New(t)
				fillRange(t, cluster, 200)
				writer := cluster.Client()
				pieces(cluster, func(n int, _ *pb.RangeStreamResponse) {
					mustPut(t, writer, fmt.Sprintf("a/%03d", n*20), "changed")
					mustPut(t, writer, fmt.Sprintf("a/%03d-new", 200-n), "new")
					_, err := writer.Delete(t.Context(), fmt.Sprintf("a/%03d", 100+n))
					require.NoError(t, err)
				})
				c := synced(t, cluster.Client(), "a/", append(opts, pageOf(7))...)
				require.Equal(t, 1, cluster.Calls("RangeStream"))
				require.Equal(t, 1, cluster.Calls("Range"))
				s, err := c.Fresh(t.Context(), 0)
				require.NoError(t, err)
				want := cluster.Dump("a/")
				for key := range want {
					if len(opts) > 0 {
						want[key] = ""
					}
				}
				require.Equal(t, want, contents(s))
				require.EqualValues(t, 1, c.Status().Lists)
			})
		})
	}
}

// TestBrokenStreamsGoOnWhereTheyWere breaks the first streams in the middle. No key is read twice,
// and there is one list.
func TestBrokenStreamsGoOnWhereTheyWere(t *testing.T) {
	for name, breakIt := range map[string]func(*etcdfake.Cluster, *etcdfake.Call) error{
		"a cut": func(cluster *etcdfake.Cluster, _ *etcdfake.Call) error {
			cluster.Member(0).Cut()
			return nil
		},
		"a compaction": func(cluster *etcdfake.Cluster, call *etcdfake.Call) error {
			resp, err := cluster.Client().Put(call.Context(), "b", "x")
			if err == nil {
				cluster.Compact(resp.Header.Revision)
			}
			return err
		},
		"an error": func(cluster *etcdfake.Cluster, _ *etcdfake.Call) error {
			cluster.Member(0).EndStreams("RangeStream", status.Error(codes.Internal, "broken"))
			return nil
		},
		"an end without the last piece": func(cluster *etcdfake.Cluster, _ *etcdfake.Call) error {
			cluster.Member(0).EndStreams("RangeStream", nil)
			return nil
		},
		"a silent member": func(_ *etcdfake.Cluster, call *etcdfake.Call) error {
			<-call.Context().Done()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testBrokenStreams(t, breakIt) })
		})
	}
}

func testBrokenStreams(t *testing.T, breakIt func(*etcdfake.Cluster, *etcdfake.Call) error) {
	cluster := etcdfake.New(t)
	fillRange(t, cluster, 300)
	cluster.On("RangeStream", func(call *etcdfake.Call) etcdfake.Action {
		n := atomic.Int64{}
		return etcdfake.Edit(func(*pb.RangeStreamResponse) {
			time.Sleep(10 * time.Millisecond)
			if n.Add(1) == 3 && call.Number <= 2 {
				require.NoError(t, breakIt(cluster, call))
			}
		})
	})
	client := cluster.Client()
	kv := &countingKV{KV: client.KV}
	client.KV = kv
	c := synced(t, client, "a/", pageOf(7))
	require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
	require.EqualValues(t, 1, c.Status().Lists)
	require.EqualValues(t, 300, kv.keys.Load(), "each key is read once")
	require.EqualValues(t, 3, kv.streams.Load(), "the third comes to the end")
}

// countingKV counts the streams, and the keys that are read by pages or streams.
type countingKV struct {
	clientv3.KV
	keys, streams atomic.Int64
}

func (k *countingKV) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := k.KV.Get(ctx, key, opts...)
	if err == nil {
		k.keys.Add(int64(len(resp.Kvs)))
	}
	return resp, err
}

func (k *countingKV) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	k.streams.Add(1)
	in, err := k.KV.GetStream(ctx, key, opts...)
	if err != nil {
		return nil, err
	}
	out := make(chan clientv3.RangeStreamResponse)
	go func() {
		defer close(out)
		for piece := range in {
			select {
			case out <- piece:
				k.keys.Add(int64(len(piece.GetKvs())))
			case <-ctx.Done():
			}
		}
	}()
	return out, nil
}

// TestServersWithoutStreamsAreAskedOnce shows that only the first list of a client's caches tries a
// stream if the servers lack RangeStream. After more than an hour, a list tries it again.
func TestServersWithoutStreamsAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t, etcdfake.WithVersion("3.6.1"))
		fillRange(t, cluster, 100)
		asked := atomic.Int64{}
		client := cluster.Client(func(cfg *clientv3.Config) {
			cfg.DialOptions = append(cfg.DialOptions, grpc.WithStreamInterceptor(
				func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
					method string, streamer grpc.Streamer, opts ...grpc.CallOption,
				) (grpc.ClientStream, error) {
					if method == pb.KV_RangeStream_FullMethodName {
						asked.Add(1)
					}
					return streamer(ctx, desc, cc, method, opts...)
				}))
		})
		list := func() {
			before := cluster.Calls("Range")
			c := synced(t, client, "a/", pageOf(10))
			require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
			require.Equal(t, 10, cluster.Calls("Range")-before, "pages")
			require.EqualValues(t, 1, c.Status().Lists)
		}
		list()
		list()
		require.EqualValues(t, 1, asked.Load())
		time.Sleep(2 * streamsAgain) // the servers may have been upgraded
		list()
		require.EqualValues(t, 2, asked.Load())
	})
}

// TestListGoesOnByPages shows that a list whose streams fail in the middle reads the rest of the
// range as pages.
func TestListGoesOnByPages(t *testing.T) {
	for name, row := range map[string]struct {
		code    codes.Code
		streams int // how many streams fail before the cache reads pages
	}{
		"an older member takes over": {codes.Unimplemented, 1},
		"a piece is too large":       {codes.ResourceExhausted, 1},
		"something else":             {codes.Internal, streamTries},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := etcdfake.New(t)
				fillRange(t, cluster, 100)
				cluster.On("RangeStream", func(call *etcdfake.Call) etcdfake.Action {
					if call.Number > 1 {
						return etcdfake.Refuse(status.Error(row.code, "of the test"))
					}
					return etcdfake.Edit(func(piece *pb.RangeStreamResponse) {
						time.Sleep(10 * time.Millisecond) // lets the previous piece arrive
						if len(piece.RangeResponse.Kvs) > 10 {
							cluster.Member(0).EndStreams("RangeStream", errors.New("broken"))
							time.Sleep(10 * time.Millisecond) // this piece is sent too late
						}
					})
				})
				c := synced(t, cluster.Client(), "a/", pageOf(10))
				require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
				require.Equal(t, 1+row.streams, cluster.Calls("RangeStream"))
				require.Equal(t, 9, cluster.Calls("Range")-row.streams,
					"pages, next to one key before each stream: the first had ten keys")
				require.EqualValues(t, 1, c.Status().Lists)
			})
		})
	}
}

// TestPiecesLargerThanTheClientTakes lists a range by a stream. The later pieces of the stream are
// larger than the responses that the client accepts, and the cache still lists the whole range.
func TestPiecesLargerThanTheClientTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		fillRange(t, cluster, 300)
		const limit = 2000
		client := cluster.Client(func(cfg *clientv3.Config) { cfg.MaxCallRecvMsgSize = limit })
		var largest atomic.Int64
		pieces(cluster, func(_ int, piece *pb.RangeStreamResponse) {
			largest.Store(max(largest.Load(), int64(proto.Size(piece))))
		})
		c := synced(t, client, "a/", pageOf(20))
		require.Greater(t, largest.Load(), int64(limit))
		require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
		require.Equal(t, 1, cluster.Calls("RangeStream"))
		require.EqualValues(t, 1, c.Status().Lists)
	})
}

// TestPageSizeLeavesStreamsOut shows that with WithPageSize all requests are for pages of that
// size.
func TestPageSizeLeavesStreamsOut(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		fillRange(t, cluster, 50)
		before := cluster.Calls("Range")
		synced(t, cluster.Client(), "a/", WithPageSize(10))
		require.Equal(t, 5, cluster.Calls("Range")-before)
		require.Zero(t, cluster.Calls("RangeStream"))
	})
}

// TestStreamOfAnotherClusterEndsTheList has a stream return another cluster id than the page before
// it. The list ends, and another one succeeds.
func TestStreamOfAnotherClusterEndsTheList(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, _ *Cache) {
		fillRange(t, cluster, 50)
		pieces(cluster, func(_ int, piece *pb.RangeStreamResponse) {
			if header := piece.RangeResponse.Header; header != nil {
				header.ClusterId++
				cluster.On("RangeStream", nil)
			}
		})
		c := synced(t, cluster.Client(), "a/", pageOf(10))
		require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
		require.Equal(t, 2, cluster.Calls("RangeStream"))
		require.EqualValues(t, 1, c.Status().Lists, "only the second came to an end")
	})
}

// slowPieces refuses a stream of a random history, or has its pieces come some time apart, so that
// anything can happen between them.
func (w *world) slowPieces(call *etcdfake.Call) etcdfake.Action {
	if w.faultAtMost(12) == 1 {
		return etcdfake.Refuse(status.Error(codes.Unavailable, "refused by the test"))
	}
	return etcdfake.Edit(func(*pb.RangeStreamResponse) {
		timer := time.NewTimer(time.Duration(w.faultAtMost(3000)) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-call.Context().Done():
		case <-timer.C:
		}
	})
}

// faultAtMost returns a random number up to most, or 0 if faults are over.
func (w *world) faultAtMost(most int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.faulty {
		return 0
	}
	return 1 + w.rng.IntN(most)
}
