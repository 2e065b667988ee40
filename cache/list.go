package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// pageTimeout is how long the request for a page may take. Each time that one takes longer, the
// next one may take more.
var pageTimeout = backoff.Policy{Base: 15 * time.Second, Max: 2 * time.Minute}

// proofWait is the wait before a proof of the list. A server that sends notices of progress has
// sent one by then, so no proof is needed.
var proofWait = backoff.Policy{Base: 2 * time.Second, Max: 10 * time.Second}

const (
	// pagesOfARange is how many pages a large range is read by, unless they would be too large.
	pagesOfARange = 50
	// maxPageBytes is about how large a page grows.
	maxPageBytes = 8 << 20
	// pairOverhead is about what a pair takes in a page besides its key and value.
	pairOverhead = 32
)

// errWentBack says that a linearizable read was answered at a lower revision than the cache had
// when the read was sent.
var errWentBack = errors.New("the cluster was restored to a revision of the past")

// answer is what the reader of a list delivers: a page, a proof, or the error because of which it
// cannot read on.
type answer struct {
	kvs      []*mvccpb.KeyValue
	header   *pb.ResponseHeader
	revision int64 // of the page; that of the header, or an earlier one
	more     bool
	err      error
	proof    bool  // kvs are the keys that have changed, and count is that of all keys
	count    int64 // of all keys
}

// next returns the first key behind a page. It must be called before the pairs are handed to the
// follower.
func (a *answer) next() string { return string(a.kvs[len(a.kvs)-1].Key) + "\x00" }

// startList begins a list under the watch that was confirmed with the header. It returns an error
// if another list has been demanded since the watch was opened.
func (f *follower) startList(list listing, header *pb.ResponseHeader) error {
	c, v := f.c, f.c.now()
	replaced := list.replaced || otherCluster(v.origin, header)
	c.mu.Lock()
	if f.ctx.Err() != nil { // ended under the lock by who wants another list
		c.mu.Unlock()
		return errListAgain
	}
	c.list.begun = true
	c.list.replaced = replaced
	c.phase = "the keys to be listed"
	c.mu.Unlock()
	if list.why != "" {
		c.log.Warn("cache lists its range anew",
			zap.Stringer("range", &c.opts), zap.String("why", list.why))
	}
	floor := v.revision
	if replaced {
		floor = 0
	}
	f.origin = originOf(header)
	f.fill = fill.New(c.opts.from, header.Revision, floor)
	ctx, stop := context.WithCancel(c.ctx)
	pages := make(chan answer)
	r := &reader{c: c, ctx: ctx, pages: pages, least: f.fill.Least(),
		size: cmp.Or(c.opts.pageSize, defaultPageSize), most: math.MaxInt}
	f.stopPage, f.pages = stop, pages
	// Ends with ctx, which stopList and the end of the cache end; Close waits for it.
	c.tasks.Go(r.run)
	return nil
}

// stopList ends the list that is under way, if there is one.
func (f *follower) stopList() {
	if f.stopPage != nil {
		f.stopPage()
	}
	f.fill, f.pages, f.stopPage, f.origin = nil, nil, nil, origin{}
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.listTarget = 0
}

// page adds an answer of the reader to the list.
func (f *follower) page(a answer) error {
	c := f.c
	switch {
	case errors.Is(a.err, errWentBack):
		c.replaced(c.now(), a.err.Error())
		return errListAgain
	case a.err != nil:
		return a.err
	}
	if err := f.sameCluster(a.header); err != nil {
		return err
	}
	if a.proof {
		f.fill.Prove(a.kvs, a.count, a.header.Revision)
		return f.finish()
	}
	if c.opts.keysOnly {
		for _, kv := range a.kvs {
			kv.Lease = 0 // not every server leaves it out
		}
	}
	keep(c.now(), a.kvs)
	f.fill.Page(a.kvs, a.revision, a.more)
	c.counts.pages.Add(1)
	c.learn(a.revision)
	keys, bytes := f.fill.Size()
	if err := c.tooLarge(bytes); err != nil {
		return err
	}
	c.wait("the keys to be listed: %d so far", keys)
	if rev, ok := f.fill.Wants(); ok {
		c.wait("the watch to pass revision %d of the list, it is at %d", rev, f.fill.Passed())
		c.mu.Lock()
		c.listTarget = rev
		c.mu.Unlock()
		c.wake()
	}
	return f.finish()
}

// keep prepares pairs that were read for the tree. A pair that equals the one in the view is
// replaced by it. The others get memory of their own.
func keep(v *view, kvs []*mvccpb.KeyValue) {
	var changed []*mvccpb.KeyValue
	for i, kv := range kvs {
		if old := v.tree.Get(keytree.Key(kv.Key)); samePair(old, kv) {
			kvs[i] = old
		} else {
			changed = append(changed, kv)
		}
	}
	compact(changed)
}

func (c *Cache) tooLarge(bytes int64) error {
	if c.opts.maxBytes == noLimit || bytes <= c.opts.maxBytes {
		return nil
	}
	return fmt.Errorf("%w: %d bytes of keys and values, WithMaxBytes(%d)",
		ErrTooLarge, bytes, c.opts.maxBytes)
}

// reader reads the pages of one list.
type reader struct {
	c         *Cache
	ctx       context.Context
	pages     chan<- answer
	size      int   // keys a page
	most      int   // keys a page, at most
	least     int64 // no page can be below this revision
	certain   int64 // every page is at this revision at least; 0 before the first
	fruitless int   // streams with fewer keys than a page since one had more
}

// run reads the range and delivers it to the follower: page by page, or, where the server has them,
// by streams for what is behind the first page. Then it reads proofs, for servers that do not say
// how far the watch is.
func (r *reader) run() {
	for from, more := r.c.opts.from, true; more; {
		a := r.read(from)
		if more = a.more; more {
			from = a.next()
		}
		if !r.deliver(a) { // from now on the pairs are the follower's
			return
		}
		if r.certain == 0 {
			r.certain = a.header.Revision // the others are no lower
		}
		if more {
			from, more = r.streamRest(from, a.header)
		}
	}
	for attempt := 0; ; attempt++ {
		if backoff.Wait(r.ctx, proofWait.Delay(attempt)) != nil || !r.prove() {
			return
		}
	}
}

// deliver passes an answer to the follower, and reports whether to go on.
func (r *reader) deliver(a answer) bool {
	select {
	case r.pages <- a:
		return a.err == nil
	case <-r.ctx.Done():
		return false
	}
}

// prove reads what has changed since the pages were read, and how many keys there are: see
// fill.Prove. It reports whether to go on.
func (r *reader) prove() bool {
	ctx, cancel := context.WithTimeout(r.ctx, pageTimeout.Base)
	defer cancel()
	resp, err := r.linearizable(r.c.changedSince(ctx, r.certain))
	switch {
	case isRefusal(err), errors.Is(err, errWentBack):
		return r.deliver(answer{err: err})
	case err != nil:
		return r.ctx.Err() == nil
	}
	return r.deliver(answer{proof: true, kvs: resp.Kvs, count: resp.Count, header: resp.Header})
}

// linearizable takes the result of a linearizable read. It returns errWentBack if the answer has a
// lower revision than an earlier one: the cluster has lost a part of its history.
func (r *reader) linearizable(
	resp *clientv3.GetResponse, err error,
) (*clientv3.GetResponse, error) {
	switch {
	case err != nil:
		return nil, err
	case resp.Header.Revision < r.least:
		return nil, errWentBack
	}
	r.least = resp.Header.Revision
	return resp, nil
}

// read reads the page that begins with the key from. It tries again until it succeeds, the server
// refuses, or the answer shows that the cluster was restored.
func (r *reader) read(from string) answer {
	for attempt, slow := 0, 0; ; attempt++ {
		resp, err := r.linearizable(r.request(from, pageTimeout.Delay(slow)))
		switch {
		case err == nil:
			r.grow(resp)
			return answer{kvs: resp.Kvs, header: resp.Header, revision: resp.Header.Revision,
				more: resp.More && len(resp.Kvs) > 0}
		case r.ctx.Err() != nil, isRefusal(err), errors.Is(err, errWentBack):
			return answer{err: err}
		case status.Code(err) == codes.ResourceExhausted && r.size > 1:
			r.size /= 2 // more than the client may receive
			r.most = r.size
		case errors.Is(err, context.DeadlineExceeded):
			slow++
		}
		r.c.wait("keys from %q on to be read again after: %v", from, err)
		if err := backoff.Wait(r.ctx, again.Delay(attempt)); err != nil {
			return answer{err: err}
		}
	}
}

// grow sets the size of the next pages of a large range. For each page a server counts the keys to
// the end of the range, so there should not be too many of them.
func (r *reader) grow(page *clientv3.GetResponse) {
	if r.c.opts.pageSize != 0 || len(page.Kvs) == 0 {
		return
	}
	bytes := 0
	for _, kv := range page.Kvs {
		bytes += len(kv.Key) + len(kv.Value) + pairOverhead
	}
	r.size = max(r.size, int(page.Count)/pagesOfARange)
	r.size = max(1, min(r.size, r.most, maxPageBytes*len(page.Kvs)/bytes))
}

func (r *reader) request(from string, timeout time.Duration) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(r.ctx, timeout)
	defer cancel()
	return r.c.get(ctx, from, r.options(clientv3.WithLimit(int64(r.size)))...)
}

// options returns the options of a request for keys up to the end of the range.
func (r *reader) options(bound clientv3.OpOption) []clientv3.OpOption {
	opts := []clientv3.OpOption{clientv3.WithRange(r.c.opts.end), bound}
	if r.c.opts.keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	return opts
}
