// Package randomwatch makes watches with random options, opens each of them directly on a server
// and through a cache, and compares what the two deliver.
package randomwatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Pair is one watch that is opened twice: on the server, and through a cache.
type Pair struct {
	Name   string              // the key and the options as text, for error messages
	Key    string              // the watched key
	Opts   []clientv3.OpOption // the watch's options
	Named  []string            // the options as text
	Rev    int64               // the start revision that WithRev sets; 0 without WithRev
	Server *Log                // what the watch on the server delivered
	Cached *Log                // what the watch through the cache delivered
}

// Log records what one watch has delivered.
type Log struct {
	mu sync.Mutex // guards all fields while the watch runs
	// Created is the revision of the response that says that the watch was created. It is 0 before
	// that response.
	Created int64
	Events  []*mvccpb.Event // all events, in order
	Compact int64           // CompactRevision of the last response
	Err     error           // the error of the last response
	Ended   bool            // whether the channel was closed
	Notices []int64         // the revisions of progress notifications
	// Torn is "" if no revision was split between two responses, and no response began below the
	// last revision of an earlier response. Otherwise Torn names the two revisions that break this
	// rule.
	Torn string
}

// Take records one response.
func (l *Log) Take(resp *clientv3.WatchResponse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case resp.Created:
		l.Created = resp.Header.Revision
	case resp.IsProgressNotify():
		l.Notices = append(l.Notices, resp.Header.Revision)
	}
	if n := len(l.Events); n > 0 && len(resp.Events) > 0 {
		last, next := l.Events[n-1].Kv.ModRevision, resp.Events[0].Kv.ModRevision
		if next <= last {
			l.Torn = fmt.Sprintf("revision %d came after %d", next, last)
		}
	}
	l.Events = append(l.Events, resp.Events...)
	if resp.Canceled {
		l.Err, l.Compact = resp.Err(), resp.CompactRevision
	}
}

// Follow records all responses of a watch until its channel is closed.
func (l *Log) Follow(ch clientv3.WatchChan) {
	for resp := range ch {
		l.Take(&resp)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Ended = true
}

// Lines returns the events as text.
func Lines(events []*mvccpb.Event) []string {
	all := []string{}
	for _, ev := range events {
		all = append(all, fmt.Sprintf("%d %v %s | %s", ev.Kv.ModRevision, ev.Type, pairText(ev.Kv),
			pairText(ev.PrevKv)))
	}
	return all
}

func pairText(kv *mvccpb.KeyValue) string {
	if kv == nil {
		return "-"
	}
	return fmt.Sprintf("%s=%q v%d c%d m%d l%d", kv.Key, kv.Value, kv.Version, kv.CreateRevision,
		kv.ModRevision, kv.Lease)
}

// New returns a watch with random options. It may have no start revision: it then begins when it is
// opened. Otherwise it starts at the latest revision (newest), an earlier one, or one in the near
// future.
func New(r *rand.Rand, newest int64) *Pair {
	p := &Pair{}
	add := func(name string, opt clientv3.OpOption) {
		p.Named, p.Opts = append(p.Named, name), append(p.Opts, opt)
	}
	p.Key = fmt.Sprintf("a/%02d", r.IntN(12))
	switch r.IntN(8) {
	case 0:
		add("prefix", clientv3.WithPrefix())
	case 1:
		p.Key = "a/"
		add("prefix", clientv3.WithPrefix())
	case 2:
		add("range", clientv3.WithRange(fmt.Sprintf("a/%02d", r.IntN(14))))
	case 3:
		p.Key = []string{"a/", "", "b"}[r.IntN(3)]
		add("from", clientv3.WithFromKey())
	case 4:
		p.Key = []string{"b/1", "a", "", "a/x"}[r.IntN(4)]
	}
	switch r.IntN(4) {
	case 0, 1:
		p.Rev = 1 + r.Int64N(newest)
	case 2:
		p.Rev = newest + r.Int64N(8)
	}
	if p.Rev != 0 {
		add(fmt.Sprint("rev ", p.Rev), clientv3.WithRev(p.Rev))
	}
	for name, opt := range map[string]clientv3.OpOption{
		"prevKV": clientv3.WithPrevKV(), "fragment": clientv3.WithFragment(),
		"created": clientv3.WithCreatedNotify(), "progress": clientv3.WithProgressNotify(),
	} {
		if r.IntN(2) == 0 {
			add(name, opt)
		}
	}
	switch r.IntN(6) {
	case 0:
		add("no put", clientv3.WithFilterPut())
	case 1:
		add("no delete", clientv3.WithFilterDelete())
	}
	p.Name = fmt.Sprintf("%q %s", p.Key, strings.Join(p.Named, ", "))
	return p
}

// Open opens both watches. Goroutines read their responses until ctx ends.
func (p *Pair) Open(ctx context.Context, server, cached clientv3.Watcher) {
	p.Server, p.Cached = &Log{}, &Log{}
	fromServer := server.Watch(ctx, p.Key, p.Opts...)
	fromCache := cached.Watch(ctx, p.Key, p.Opts...)
	// The goroutine ends when ctx ends. The test waits for the responses that Follow records.
	go p.Server.Follow(fromServer)
	// The goroutine ends when ctx ends. The test waits for the responses that Follow records.
	go p.Cached.Follow(fromCache)
}

// Difference describes how the deliveries of the two watches differ, or returns "" if they do not
// differ.
func (p *Pair) Difference() string {
	s, c := p.Server, p.Cached
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	server, cached := s.text(p.Rev == 0), c.text(p.Rev == 0)
	if c.Torn == "" && server == cached {
		return ""
	}
	return fmt.Sprintf("%s: %s\nserver: %s\ncache: %s", p.Name, c.Torn, server, cached)
}

// text returns everything that the watch has delivered, as text for a comparison. It has the
// revision at which the watch was created if fromNow is set. Such a watch has no start revision and
// starts there, so this revision must be equal for both watches. If fromNow is not set, the text
// only says whether the watch was created.
func (l *Log) text(fromNow bool) string {
	created := min(l.Created, 1)
	if fromNow {
		created = l.Created
	}
	return fmt.Sprintf("created %d, ended %v %v %d, %s", created, l.Ended, l.Err, l.Compact,
		strings.Join(Lines(l.Events), "\n"))
}

// Write makes one random write. The write may change several keys, all at one revision.
func Write(ctx context.Context, r *rand.Rand, kv clientv3.KV) error {
	key := fmt.Sprintf("a/%02d", r.IntN(12))
	value := fmt.Sprint(r.IntN(1000))
	ops := []clientv3.Op{clientv3.OpPut(key, value)}
	switch r.IntN(8) {
	case 0, 1:
		ops = []clientv3.Op{clientv3.OpDelete(key)}
	case 2:
		ops = []clientv3.Op{clientv3.OpDelete(key, clientv3.WithRange(key[:3]+"8"))}
	case 3:
		ops = []clientv3.Op{clientv3.OpPut("b/1", value)}
	case 4:
		ops = append(ops, clientv3.OpPut(key+"x", value), clientv3.OpDelete("a/x"),
			clientv3.OpPut("b/2", value))
	}
	_, err := kv.Txn(ctx).Then(ops...).Commit()
	return err
}
