package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
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

// pageTimeout is the timeout of a request for a page. It gets longer each time that the request
// times out. The read that proves that the list is complete (see fill.Prove) also gets a longer
// timeout each time. The shortest timeout, pageTimeout.Base, applies to each piece of a streamed
// answer.
var pageTimeout = backoff.Policy{Base: 15 * time.Second, Max: 2 * time.Minute}

// proofWait is the wait before each read that proves whether the list is complete (see fill.Prove).
// Most servers send a notice of progress within this time, which makes the read unnecessary: the
// notice says how far the watch is.
var proofWait = backoff.Policy{Base: 2 * time.Second, Max: 10 * time.Second}

const (
	// pagesOfARange is about how many pages a large range is divided into. There are more pages if
	// these pages would be larger than maxPageBytes.
	pagesOfARange = 50
	// maxPageBytes is the approximate limit on the bytes of a page.
	maxPageBytes = 8 << 20
	// pairOverhead is about how many bytes a key-value pair takes in a page in addition to its key
	// and value.
	pairOverhead = 32
)

// errWentBack says that a linearizable read was answered at a lower revision than the cache had
// already seen when the read was sent. So the cluster was restored from a backup.
var errWentBack = errors.New("the cluster was restored to a revision of the past")

// answer is one result of a list (read of the whole range). It is a page, a proof that the list is
// complete (see fill.Prove), or the error that has ended the list. reader.run delivers the answers
// to the follow goroutine.
type answer struct {
	kvs    []*mvccpb.KeyValue
	header *pb.ResponseHeader
	// revision is the revision at which the page was read. The revision in header may be higher.
	revision int64
	more     bool
	err      error
	proof    bool  // the answer is a proof; kvs has only keys changed since the first page
	count    int64 // the number of all keys in the range; set in a proof only
}

// next returns the first key after a page. It must be called before the page is delivered, because
// from then on the follow goroutine owns the page's pairs.
func (a *answer) next() string { return string(a.kvs[len(a.kvs)-1].Key) + "\x00" }

// startList begins to list (read) the whole range. header is the header of the response that has
// confirmed the watch. startList returns errListAgain if another list was demanded after the watch
// was opened.
func (f *follower) startList(list listing, header *pb.ResponseHeader) error {
	c, v := f.c, f.c.now()
	replaced := list.replaced || otherCluster(v.origin, header)
	c.mu.Lock()
	if f.ctx.Err() != nil { // startOverLocked cancels f.ctx under mu to demand another list
		c.mu.Unlock()
		return context.Cause(f.ctx)
	}
	c.list.begun = true
	c.list.replaced = replaced
	if replaced {
		c.doubtLocked()
	}
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
	// The goroutine ends when stopList is called or the cache ends. Close waits for it.
	c.tasks.Go(r.run)
	return nil
}

// stopList gives up the list (read of the whole range) that is under way, if there is one.
func (f *follower) stopList() {
	if f.stopPage != nil {
		f.stopPage()
	}
	f.fill, f.pages, f.stopPage, f.overdue, f.origin = nil, nil, nil, nil, origin{}
	f.stalls = 0
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.listTarget = 0
}

// page takes one answer of the list (read of the whole range) that is under way, and adds it to the
// state that the list is building.
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
			kv.Lease = 0 // some servers send the lease even if only keys are requested
		}
	}
	keep(c.now(), a.kvs)
	f.fill.Page(a.kvs, a.revision, a.more)
	c.counts.pages.Add(1)
	c.learn(a.revision)
	// advance requests a notice of progress. The notice raises the revision from which the watch
	// can be opened again, so that a compaction of older revisions does not break the list.
	c.advance()
	keys, bytes := f.fill.Size()
	// The pages are of different revisions. A key that was deleted after its page was read still
	// counts, until the watch has delivered the deletion. Keys that were put meanwhile count, too.
	// So only twice the limit is surely too much.
	if bytes/2 > c.opts.maxBytes && c.opts.maxBytes != noLimit {
		return c.tooLarge(bytes)
	}
	c.wait("the keys to be listed: %d so far", keys)
	if rev, ok := f.fill.Wants(); ok {
		c.wait("the watch to pass revision %d of the list, it is at %d", rev, f.fill.Passed())
		c.mu.Lock()
		c.listTarget = rev
		c.mu.Unlock()
		f.overdue = time.NewTimer(stalledFor.Delay(f.stalls)).C
		c.wake()
	}
	return f.finish()
}

// keep prepares the pairs of a page for the tree. If the view v has an equal pair, keep puts that
// pair into kvs, so that the old and the new tree share it. The other pairs get their own memory
// for keys and values, so that they do not keep the whole response message in memory.
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

// reader reads the pages of one list (read of the whole range). It runs on a goroutine of its own.
type reader struct {
	c     *Cache
	ctx   context.Context
	pages chan<- answer
	size  int // how many keys the next page may have
	most  int // the limit on size; lowered when a page was too large to be received
	// least is the revision of the previous linearizable answer. A later answer with a lower
	// revision means that the cluster was restored from a backup.
	least int64
	// certain is the revision of the first page. No other page has a lower revision. certain is 0
	// before the first page.
	certain   int64
	fruitless int // how many streams in a row have brought fewer keys than a page has
}

// run reads the range and delivers what it reads to the follow goroutine. After the first page, it
// reads the rest by streams if the server has the RangeStream method, or else by more pages.
//
// Normally, a notice of progress then shows that the watch has caught up with the list. Some
// servers send no such notices. For them, run goes on with reads that prove whether the list is
// complete (see fill.Prove), until the list is stopped.
func (r *reader) run() {
	for from, more := r.c.opts.from, true; more; {
		a := r.read(from)
		if more = a.more; more {
			from = a.next()
		}
		if !r.deliver(a) { // from now on the follow goroutine owns the pairs
			return
		}
		if r.certain == 0 {
			// Later linearizable reads, and so later pages, have this revision or a higher one.
			r.certain = a.header.Revision
		}
		if more {
			from, more = r.streamRest(from, a.header)
		}
	}
	for attempt := 0; ; attempt++ {
		if backoff.Wait(r.ctx, proofWait.Delay(attempt)) != nil || !r.prove(attempt) {
			return
		}
	}
}

// deliver passes an answer to the follow goroutine. It returns false if the reading ends: because
// the answer is an error, or because the list was stopped.
func (r *reader) deliver(a answer) bool {
	select {
	case r.pages <- a:
		return a.err == nil
	case <-r.ctx.Done():
		return false
	}
}

// prove reads which keys have changed since the first page was read, and how many keys there are.
// It delivers the answer as a proof that the list is complete: see fill.Prove. If the server denies
// permission or the cluster was restored, prove delivers an error instead. It ignores other
// failures, because a later call may succeed.
//
// prove returns false if the list needs no more calls, because it has failed or was stopped.
// attempt is the number of the call, which determines its timeout.
func (r *reader) prove(attempt int) bool {
	ctx, cancel := context.WithTimeout(r.ctx, pageTimeout.Delay(attempt))
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

// linearizable checks the result of a linearizable read. It returns errWentBack if the answer has a
// lower revision than an earlier answer, which means that the cluster has lost a part of its
// history.
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

// read reads one page, which begins with the key in from or a later one. It repeats a request that
// fails, with smaller pages or longer timeouts where that may help. It returns an error only if the
// list was stopped, the server denied permission, or the answer shows that the cluster was
// restored.
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
		case isTooLong(err) && r.size > 1:
			r.size /= 2 // the page had more bytes than the client may receive
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

// isTooLong reports whether an answer had more bytes than the client may receive. Only the message
// of gRPC's error says so: the same code also stands for a limit on the rate of requests.
func isTooLong(err error) bool {
	return status.Code(err) == codes.ResourceExhausted &&
		strings.Contains(status.Convert(err).Message(), "larger than max")
}

// grow sets how many keys the next pages of a large range have. The pages are large, because each
// page costs the server a count of all keys from the start of the page to the end of the range.
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

// options returns the options of a request for keys up to the end of the range: WithRange, the
// given limit or revision, and, for a cache without values, WithKeysOnly.
func (r *reader) options(bound clientv3.OpOption) []clientv3.OpOption {
	opts := []clientv3.OpOption{clientv3.WithRange(r.c.opts.end), bound}
	if r.c.opts.keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	return opts
}
