package watchmux

import (
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// simChanSize is the capacity of a simulated stream's channel of events. In etcd it is 128. The
// simulation uses a small one, so notices are dropped and watchers become slow all the time.
const simChanSize = 3

// simServer is a fake etcd with at most one watch stream. It keeps to the protocol of watches. A
// random source picks the order in which the server's goroutines run. The field history has the
// keys that were changed at each revision.
type simServer struct {
	rand   *rand.Rand
	ownIDs bool // it chooses all watch IDs and ignores those of the client, as grpc-proxy does
	// a created response has the revision from before the watch was registered, as in etcd 3.5;
	// otherwise the revision after it, as in 3.7
	revBefore bool
	// the server answers a progress request at once, even before the events of earlier revisions,
	// as etcd does before 3.4.25 and 3.5.8
	hasty     bool
	history   [][]string
	compacted int64 // revisions below this one are compacted
	calm      bool  // no key changes any more, and no create request is refused at random
	stream    *simStream
}

// simStream is the server's side of one stream. A response passes through the queue ctrl or the
// queue events, and then through the queue network. A response in one of the first two queues can
// overtake a response in the other.
type simStream struct {
	reqs      []*pb.WatchRequest
	ctrl      []*pb.WatchResponse
	events    []*pb.WatchResponse
	network   []*pb.WatchResponse
	watchers  map[int64]*simWatcher
	order     []int64 // the IDs of the watchers, oldest first
	nextID    int64
	announced map[int64]bool
	// events of watches whose created response is not in the network yet, by watch ID
	pending map[int64][]*pb.WatchResponse
}

type simWatcher struct {
	key      string
	from     int64 // the first revision whose events are not in the queue events yet
	start    int64
	synced   bool
	fragment bool
	late     bool // it was created with a start revision in the past
}

func (s *simServer) rev() int64 { return int64(len(s.history)) }

// quiet reports whether the server has nothing to send, so that a real client would receive nothing
// for a second. It ignores unsent events of watches that started in the past, because a server may
// take any time to send those.
func (s *simServer) quiet() bool {
	st := s.stream
	if st == nil || len(st.ctrl)+len(st.events)+len(st.network) > 0 {
		return false
	}
	for _, w := range st.watchers {
		if !w.synced && !w.late {
			return false
		}
	}
	return true
}

func matches(watched, key string) bool { return watched == "*" || watched == key }

// eventsOf returns what a watch of key sees at a revision.
func (s *simServer) eventsOf(key string, rev int64) (events []*mvccpb.Event) {
	for _, k := range s.history[rev-1] {
		if matches(key, k) {
			events = append(events, &mvccpb.Event{
				Kv: &mvccpb.KeyValue{Key: []byte(k), ModRevision: rev}})
		}
	}
	return events
}

func (s *simServer) open(reqs []*pb.WatchRequest) {
	s.stream = &simStream{
		reqs: slices.Clone(reqs), watchers: make(map[int64]*simWatcher),
		announced: make(map[int64]bool), pending: make(map[int64][]*pb.WatchResponse),
	}
}

// put changes keys in one transaction, and sends the events to the watchers that are synced.
func (s *simServer) put(keys ...string) {
	s.history = append(s.history, keys)
	if s.stream == nil {
		return
	}
	for _, id := range s.stream.order {
		w := s.stream.watchers[id]
		if !w.synced || w.from > s.rev() {
			continue
		}
		if events := s.eventsOf(w.key, s.rev()); len(events) > 0 && !s.emit(id, s.rev(), events) {
			w.synced = false
			continue
		}
		w.from = s.rev() + 1
	}
}

// emit adds a response to the queue events, and reports whether there was room for it.
func (s *simServer) emit(id, rev int64, events []*mvccpb.Event) bool {
	if len(s.stream.events) >= simChanSize {
		return false
	}
	resp := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: rev}, WatchId: id,
		Events: events}
	s.stream.events = append(s.stream.events, resp)
	return true
}

// receive processes the next request.
func (s *simServer) receive() {
	st := s.stream
	if len(st.reqs) == 0 {
		return
	}
	req := st.reqs[0]
	st.reqs = st.reqs[1:]
	switch {
	case req.GetCreateRequest() != nil:
		s.create(req.GetCreateRequest())
	case req.GetCancelRequest() != nil:
		id := req.GetCancelRequest().WatchId
		if st.watchers[id] != nil {
			s.remove(id)
			st.ctrl = append(st.ctrl, &pb.WatchResponse{
				Header: &pb.ResponseHeader{Revision: s.rev()}, WatchId: id, Canceled: true})
		}
	case s.hasty:
		st.ctrl = append(st.ctrl, &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: s.rev()},
			WatchId: -1})
	default:
		for _, w := range st.watchers {
			if !w.synced || w.start > s.rev() {
				return
			}
		}
		if len(st.watchers) > 0 {
			s.emit(-1, s.rev(), nil)
		}
	}
}

func (s *simServer) create(c *pb.WatchCreateRequest) {
	st := s.stream
	before := s.rev()
	resp := &pb.WatchResponse{Header: &pb.ResponseHeader{}, WatchId: -1, Created: true}
	switch {
	case string(c.Key) == "denied" || !s.calm && s.rand.IntN(30) == 0:
		resp.Canceled, resp.CancelReason = true, "denied "+string(c.Key)
	default:
		id := c.WatchId
		if s.ownIDs || id == 0 {
			id = st.nextID
			st.nextID++
		}
		w := &simWatcher{key: string(c.Key), from: c.StartRevision, fragment: c.Fragment}
		if w.from == 0 || w.from > s.rev() {
			w.synced, w.start, w.from = true, c.StartRevision, max(c.StartRevision, s.rev()+1)
		} else {
			w.late = true
		}
		st.watchers[id] = w
		st.order = append(st.order, id)
		resp.WatchId = id
	}
	if !s.calm && s.rand.IntN(4) == 0 { // a put after the watch was registered, before the response
		s.put("a", "b")
	}
	resp.Header.Revision = s.rev()
	if s.revBefore {
		resp.Header.Revision = before
	}
	st.ctrl = append(st.ctrl, resp)
}

func (s *simServer) remove(id int64) {
	delete(s.stream.watchers, id)
	s.stream.order = slices.DeleteFunc(s.stream.order, func(other int64) bool {
		return other == id
	})
}

// sync sends the events of the next few revisions to the first watcher that is not synced.
func (s *simServer) sync() {
	st := s.stream
	i := slices.IndexFunc(st.order, func(id int64) bool { return !st.watchers[id].synced })
	if i < 0 || len(st.events) >= simChanSize {
		return
	}
	id := st.order[i]
	w := st.watchers[id]
	if w.from < s.compacted {
		st.events = append(st.events, &pb.WatchResponse{
			Header: &pb.ResponseHeader{Revision: s.rev()}, WatchId: id, Canceled: true,
			CompactRevision: s.compacted,
		})
		s.remove(id)
		return
	}
	var events []*mvccpb.Event
	for n := 1 + s.rand.IntN(4); n > 0 && w.from <= s.rev(); n-- {
		events = append(events, s.eventsOf(w.key, w.from)...)
		w.from++
	}
	w.synced = w.from > s.rev()
	if len(events) > 0 {
		s.emit(id, s.rev(), events)
	}
}

// transmit moves the next response of the queue ctrl or the queue events to the network.
func (s *simServer) transmit() {
	st := s.stream
	if len(st.ctrl) > 0 && (len(st.events) == 0 || s.rand.IntN(2) == 0) {
		resp := st.ctrl[0]
		st.ctrl = st.ctrl[1:]
		st.network = append(st.network, resp)
		if resp.Created && !resp.Canceled {
			st.announced[resp.WatchId] = true
			for _, p := range st.pending[resp.WatchId] {
				s.wire(p)
			}
			delete(st.pending, resp.WatchId)
		}
		return
	}
	if len(st.events) == 0 {
		return
	}
	resp := st.events[0]
	st.events = st.events[1:]
	if resp.WatchId >= 0 && !st.announced[resp.WatchId] {
		st.pending[resp.WatchId] = append(st.pending[resp.WatchId], resp)
		return
	}
	s.wire(resp)
}

// wire adds a response to the network. If the watch of the response asked for fragments, wire
// splits the response into fragments of at most two events.
func (s *simServer) wire(resp *pb.WatchResponse) {
	st := s.stream
	if w := st.watchers[resp.WatchId]; w == nil || !w.fragment {
		st.network = append(st.network, resp)
		return
	}
	for rest := resp.Events; ; {
		part := &pb.WatchResponse{Header: resp.Header, WatchId: resp.WatchId, Events: rest}
		if len(rest) > 2 {
			part.Events, rest, part.Fragment = rest[:2], rest[2:], true
		}
		st.network = append(st.network, part)
		if !part.Fragment {
			return
		}
	}
}
