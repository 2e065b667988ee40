package watch_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// raced is a watch that the functions of raceEvents act on, and its sibling: another watch on the
// same stream, which must not be affected.
type raced struct {
	t       *testing.T
	server  *watchScript
	watcher clientv3.Watcher
	session *watchSession // the current stream
	cancel  context.CancelFunc
	open    func() clientv3.WatchChan
	ch      clientv3.WatchChan // nil until the Watch call has returned
	sibling clientv3.WatchChan
	lasts   int   // how many last responses were received
	watchID int64 // the watch id that the server has chosen
}

// raceStates bring the watch into each of its states.
var raceStates = map[string]func(*raced){
	"queued": func(r *raced) {
		r.session.end(errCut) // the test does not serve the client's next stream
		r.session = nil
		synctest.Wait()
		r.watch()
	},
	"creating": func(r *raced) {
		r.watch()
		r.session.createFrom("w", 0)
	},
	"active": func(r *raced) { r.activate(1) },
	"backlog": func(r *raced) {
		r.activate(1)
		for rev := range int64(5) {
			r.session.events(r.watchID, rev+2)
		}
	},
	"paused": func(r *raced) {
		r.activate(1)
		for rev := range int64(20) {
			r.session.events(r.watchID, rev+2)
		}
		require.Equal(r.t, r.watchID, r.session.cancelled())
	},
}

func (r *raced) watch() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.cancel = cancel
	r.open = watchAsync(ctx, r.watcher, "w", clientv3.WithWatchBuffer(0, 10))
	synctest.Wait()
}

func (r *raced) activate(id int64) {
	r.watch()
	r.session.createFrom("w", 0)
	r.session.created(id, 1)
	r.ch, r.watchID = r.open(), id
}

// raceEvents are what can happen to the watch.
var raceEvents = map[string]func(*raced){
	"context": func(r *raced) { r.cancel() },
	"close":   func(r *raced) { assert.NoError(r.t, r.watcher.Close()) },
	"break":   func(r *raced) { r.toServer(func(s *watchSession) { s.end(errCut) }) },
	"halt": func(r *raced) {
		r.toServer(func(s *watchSession) { s.end(rpctypes.ErrGRPCNoLeader) })
	},
	"progress": func(r *raced) { _ = r.watcher.RequestProgress(r.t.Context()) },
	"refused":  func(r *raced) { r.toServer(func(s *watchSession) { s.refused(-1, "no") }) },
	"server": func(r *raced) {
		r.toServer(func(s *watchSession) {
			s.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 9}, WatchId: r.watchID,
				Canceled: true, CancelReason: "x"})
		})
	},
	"confirmed": func(r *raced) { r.toServer(func(s *watchSession) { s.created(1, 1) }) },
	"events":    func(r *raced) { r.toServer(func(s *watchSession) { s.events(1, 30) }) },
	"drain": func(r *raced) {
		for r.ch != nil {
			select {
			case wr, ok := <-r.ch:
				if !ok {
					return
				}
				r.received(wr)
			default:
				return
			}
			synctest.Wait()
		}
	},
}

// received counts the response if it is a watch's last one, which has an error.
func (r *raced) received(wr clientv3.WatchResponse) {
	if wr.Err() != nil {
		r.lasts++
	}
}

// toServer does something on the current stream, if there is one.
func (r *raced) toServer(do func(*watchSession)) {
	if r.session != nil && r.session.ctx.Err() == nil {
		do(r.session)
	}
}

// TestWatchRaces: in every state of a watch, two things happen to it, in both orders and at the
// same time. Nothing blocks, the sibling on the stream goes on, and after Close the channel is
// closed once. A second close, or a send on a closed channel, would panic. A goroutine that stays
// behind would fail the bubble.
func TestWatchRaces(t *testing.T) {
	names := make([]string, 0, len(raceEvents))
	for name := range raceEvents {
		names = append(names, name)
	}
	slices.Sort(names)
	for state := range raceStates {
		for _, first := range names {
			for _, second := range names {
				t.Run(strings.Join([]string{state, first, second}, " "), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { runRace(t, state, first, second, false) })
					if first < second {
						synctest.Test(t, func(t *testing.T) {
							runRace(t, state, first, second, true)
						})
					}
				})
			}
		}
	}
}

func runRace(t *testing.T, state, first, second string, together bool) {
	server, w := newWatchScript(t)
	r := &raced{t: t, server: server, watcher: w, watchID: 1}
	openSibling := watchAsync(t.Context(), w, "sibling")
	r.session = server.session()
	r.session.create()
	r.session.created(0, 1)
	r.sibling = openSibling()
	raceStates[state](r)

	if together && first != "drain" && second != "drain" { // "drain" waits for the bubble
		var both sync.WaitGroup
		both.Go(func() { raceEvents[first](r) })
		both.Go(func() { raceEvents[second](r) })
		both.Wait()
	} else {
		raceEvents[first](r)
		synctest.Wait()
		raceEvents[second](r)
	}
	synctest.Wait()
	happened := func(name string) bool { return first == name || second == name }
	if !happened("close") && !happened("halt") {
		r.requireSiblingLives()
	}
	require.NoError(t, w.Close())
	if r.ch == nil {
		r.ch = r.open()
	}
	for wr := range r.ch {
		r.received(wr)
	}
	assert.LessOrEqual(t, r.lasts, 1)
	if state == "active" && happened("server") && first != "close" && first != "context" &&
		first != "halt" && first != "break" && !together {
		assert.Equal(t, 1, r.lasts, "the last response of the server arrives")
	}
	r.cancel()
	for range r.sibling {
	}
}

// requireSiblingLives waits until the sibling has a stream again, if the stream was broken, and
// sends it an event.
func (r *raced) requireSiblingLives() {
	time.Sleep(time.Second) // virtual time, in which the client redials
	synctest.Wait()
	select {
	case s := <-r.server.sessions:
		r.session = s
	default:
	}
	if r.session.ctx.Err() != nil {
		require.Fail(r.t, "the sibling has no stream")
	}
	id := int64(0)
	for len(r.session.reqs) > 0 {
		if req := (<-r.session.reqs).GetCreateRequest(); req != nil &&
			string(req.Key) == "sibling" {
			r.session.created(req.WatchId, 40)
			id = max(id, req.WatchId)
		}
	}
	synctest.Wait()
	r.session.events(id, 50)
	requireRevisions(r.t, r.sibling, 50)
}
