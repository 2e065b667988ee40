package fake_test

import (
	"fmt"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// recorder keeps what one watch stream has received.
type recorder struct {
	stream pb.Watch_WatchClient
	dict   *dictionary // translates the real server's IDs to the fake's; nil for the fake's stream
	done   sync.WaitGroup

	mu         sync.Mutex // guards what follows
	got        received
	announced  map[int64]bool // the watchers whose creation was answered
	events     int            // how many events were received
	created    int            // how many creates were answered
	asked      int            // how many creates were sent
	unrecorded map[int]bool   // the numbers of the creates whose answers are not recorded
}

// received is what one stream has received. etcd sends answers to creates and cancels through one
// channel, and events and progress notices through another, so only the order in each channel is
// recorded. Events are recorded one by one: while a watcher catches up, the number of events in a
// response depends on timing.
type received struct {
	answers  []string           // the answers to creates and cancels
	watchers map[int64][]string // by watcher: its events, and its cancellation by a compaction
	// progress has the answers to progress requests, each with the number of events before it.
	// Equal answers in a row are recorded once, because the test may send more progress requests to
	// the real server than to the fake.
	progress []string
}

func newRecorder(stream pb.Watch_WatchClient, dict *dictionary) *recorder {
	return &recorder{stream: stream, dict: dict, got: received{watchers: make(map[int64][]string)},
		announced: make(map[int64]bool), unrecorded: make(map[int]bool)}
}

// answered reports whether all creates were answered.
func (r *recorder) answered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created == r.asked
}

func (r *recorder) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
}

func (r *recorder) askUnrecorded() {
	r.ask()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unrecorded[r.asked] = true
}

func (r *recorder) receive() {
	for {
		resp, err := r.stream.Recv()
		if err != nil {
			return
		}
		var msg proto.Message = resp
		if r.dict != nil {
			msg = r.dict.toFake(resp)
		}
		normalise(msg.ProtoReflect())
		r.record(msg.(*pb.WatchResponse))
	}
}

func (r *recorder) record(resp *pb.WatchResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case resp.Created, resp.Canceled && resp.CompactRevision == 0:
		r.recordAnswer(resp)
	case resp.WatchId == -1:
		line := fmt.Sprintf("after %d events %v", r.events, deterministic(resp))
		if last := len(r.got.progress) - 1; last < 0 || r.got.progress[last] != line {
			r.got.progress = append(r.got.progress, line)
		}
	default:
		r.recordEvents(resp)
	}
}

func (r *recorder) recordAnswer(resp *pb.WatchResponse) {
	if resp.Created {
		r.created++
	}
	if resp.Created && r.unrecorded[r.created] {
		return
	}
	r.announced[resp.WatchId] = !resp.Canceled
	r.got.answers = append(r.got.answers, deterministic(resp))
}

func (r *recorder) recordEvents(resp *pb.WatchResponse) {
	lines := r.got.watchers[resp.WatchId]
	if !r.announced[resp.WatchId] {
		lines = append(lines, "the watcher is not announced")
	}
	r.events += len(resp.Events)
	for _, ev := range resp.Events {
		lines = append(lines, fmt.Sprintf("%v %v %v", ev.Type, deterministic(ev.Kv),
			deterministic(ev.PrevKv)))
	}
	if len(resp.Events) == 0 {
		lines = append(lines, deterministic(resp))
	}
	r.got.watchers[resp.WatchId] = lines
}

func deterministic(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", b)
}

func (r *recorder) copy() received {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := received{answers: slices.Clone(r.got.answers), progress: slices.Clone(r.got.progress),
		watchers: make(map[int64][]string, len(r.got.watchers))}
	for id, lines := range r.got.watchers {
		all.watchers[id] = slices.Clone(lines)
	}
	return all
}
