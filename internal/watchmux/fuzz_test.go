package watchmux

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// FuzzMux lets bytes decide what users do and what a server sends, valid or not. The mux must not
// panic. It must create and end each watch at most once, deliver nothing after the end, and deliver
// events in order. A response that reports a compaction without the field canceled must end its
// watcher only once.
func FuzzMux(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 20, 8, 1, 0, 5, 8, 2, 0, 7})
	f.Add([]byte{0, 5, 0, 1, 0, 0, 0, 3, 1, 8, 16, 0, 2, 8, 17, 0, 2, 9, 16, 33, 5, 2, 1, 3, 0, 6,
		7})
	f.Add([]byte{0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 6, 0, 1, 8, 0, 0, 1, 5, 8, 0, 0, 3, 8, 0, 0, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		z := &fuzzed{t: t, data: data}
		z.mux = New(z, Config{Window: 3, MinBatch: 3, Refused: func(string) bool {
			return z.next()%2 == 0
		}})
		for len(z.data) > 0 {
			z.step()
		}
		z.mux.Halt(rpctypes.ErrStopped)
		for _, k := range z.sinks {
			require.True(t, k.ended, "%d was left behind", k.id)
		}
	})
}

// fuzzed is the Link of a Mux under test. It decides what happens next by the bytes of the fuzzer.
type fuzzed struct {
	t           *testing.T
	mux         *Mux
	data        []byte
	sinks       []*fuzzSink
	creates     int // create requests that are unanswered on the current stream
	reconnected bool
}

func (z *fuzzed) next() byte {
	if len(z.data) == 0 {
		return 0
	}
	b := z.data[0]
	z.data = z.data[1:]
	return b
}

func (z *fuzzed) Send(reqs ...*pb.WatchRequest) {
	for _, r := range reqs {
		if r.GetCreateRequest() != nil {
			z.creates++
		}
	}
	require.LessOrEqual(z.t, z.creates, 3, "the window")
}

func (z *fuzzed) Queued() int     { return int(z.next() % 2) }
func (z *fuzzed) Reconnect(error) { z.reconnected = true }
func (z *fuzzed) Stop()           {}

func (z *fuzzed) step() {
	switch z.next() % 10 {
	case 0:
		k := &fuzzSink{z: z, id: len(z.sinks), last: int64(z.next()%8) - 1}
		template := &pb.WatchCreateRequest{Key: fmt.Append(nil, k.id),
			StartRevision: max(k.last+1, 0)}
		if z.mux.Add(&k.watcher, template, k) {
			z.sinks = append(z.sinks, k)
		}
	case 1, 2:
		z.creates, z.reconnected = 0, false
		redial, _ := z.mux.Broken(rpctypes.ErrGRPCStopped)
		if redial {
			z.mux.Opened(func(reqs ...*pb.WatchRequest) { z.Send(reqs...) })
		}
	case 3:
		z.pick(func(k *fuzzSink) {
			if z.mux.Cancel(&k.watcher) {
				k.end()
			}
		})
	case 4:
		z.pick(func(k *fuzzSink) { z.mux.Drained(&k.watcher) })
	case 5:
		z.mux.RequestProgress()
	case 6:
		z.mux.CheckLiveness(true, true)
		z.mux.Liveness()
	case 7:
		z.mux.Overdue(firstID + int64(z.next()%32))
	default:
		if !z.reconnected {
			z.mux.Received(z.response())
		}
	}
}

func (z *fuzzed) pick(do func(*fuzzSink)) {
	if n := len(z.sinks); n > 0 {
		do(z.sinks[int(z.next())%n])
	}
}

// response makes a response from the next three bytes, and from one more byte for each event.
func (z *fuzzed) response() *pb.WatchResponse {
	id, flags, rev := z.next(), z.next(), z.next()
	resp := &pb.WatchResponse{WatchId: int64(id%12) - 2}
	if id&16 != 0 {
		resp.WatchId = firstID + int64(id%12)
	}
	if flags&1 == 0 {
		resp.Header = &pb.ResponseHeader{Revision: int64(rev)}
	}
	resp.Canceled = flags&2 != 0 && flags&4 != 0
	resp.Fragment = flags&8 != 0
	if flags&64 != 0 && flags&128 != 0 {
		resp.CompactRevision = int64(rev)
	}
	if flags&32 == 0 {
		resp.Created = true
		z.creates = max(z.creates-1, 0)
		return resp
	}
	for range flags % 4 {
		e := &mvccpb.Event{}
		if r := z.next(); r > 0 {
			e.Kv = &mvccpb.KeyValue{ModRevision: int64(r)}
		}
		resp.Events = append(resp.Events, e)
	}
	return resp
}

// fuzzSink receives the calls for one watch. It checks their order, and that no event is delivered
// twice.
type fuzzSink struct {
	z              *fuzzed
	id             int
	watcher        Watcher
	created, ended bool
	last           int64
}

func (k *fuzzSink) end() {
	require.False(k.z.t, k.ended, "%d ends twice", k.id)
	k.ended = true
}

func (k *fuzzSink) Created(h *pb.ResponseHeader) {
	require.NotNil(k.z.t, h)
	require.False(k.z.t, k.created || k.ended, "%d", k.id)
	k.created = true
}

func (k *fuzzSink) Deliver(h *pb.ResponseHeader, events []*mvccpb.Event) (full bool) {
	require.NotNil(k.z.t, h)
	require.True(k.z.t, k.created && !k.ended, "%d", k.id)
	last := k.last
	for _, e := range events {
		require.NotNil(k.z.t, e.Kv)
		require.Greater(k.z.t, e.Kv.ModRevision, k.last, "%d sees a revision again", k.id)
		last = max(last, e.Kv.ModRevision)
	}
	k.last = last
	return k.z.next()%4 == 3
}

func (k *fuzzSink) Done(Final) { k.end() }
