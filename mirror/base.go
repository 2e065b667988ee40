package mirror

import (
	"bytes"
	"cmp"
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// pageKeys is the number of keys that one request reads.
const pageKeys = 1000

func (s *syncer) SyncBase(ctx context.Context) (<-chan *clientv3.GetResponse, chan error) {
	b := &base{
		syncer: s,
		rev:    s.rev.Load(),
		// An empty prefix begins at the lowest possible key.
		start: []byte(cmp.Or(s.prefix, "\x00")),
		pages: make(chan *clientv3.GetResponse, 1),
		errs:  make(chan error, 1),
	}
	b.ctx, b.release = await.Join(ctx, s.client.Ctx())
	first, err := b.read()
	if err != nil {
		b.end(err)
		return b.pages, b.errs
	}
	s.rev.CompareAndSwap(0, b.rev)
	// The goroutine ends after the last page, when ctx ends, or when the client is closed. At its
	// end it closes both channels. The program, which reads the channels, waits for that.
	go func() { b.end(b.deliver(first)) }()
	return b.pages, b.errs
}

// base holds the variables of one call of SyncBase.
type base struct {
	// read-only after SyncBase has made the base
	syncer  *syncer
	ctx     context.Context // ends with the caller's context and with the client
	release context.CancelFunc

	// used by one goroutine at a time: first in SyncBase, then by the goroutine that runs deliver
	rev   int64  // the revision of all pages; if it is 0, the first page sets it
	start []byte // the first key of the next page

	// sent on and closed only by the goroutine that runs deliver, or by SyncBase if the first read
	// fails
	pages chan *clientv3.GetResponse
	errs  chan error
}

// read reads the next page and returns it. It sets b.start to the first key after the page.
func (b *base) read() (*clientv3.GetResponse, error) {
	page, err := b.syncer.client.Get(b.ctx, string(b.start),
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(b.syncer.prefix)),
		clientv3.WithLimit(pageKeys),
		clientv3.WithRev(b.rev))
	if err != nil {
		return nil, err
	}
	if b.rev == 0 {
		if page.Header == nil || page.Header.Revision <= 0 {
			return nil, txnanswer.Errorf("keys from %q without a revision", b.start)
		}
		b.rev = page.Header.Revision
	}
	if !page.More {
		return page, nil
	}
	if len(page.Kvs) == 0 {
		return nil, txnanswer.Errorf("more keys from %q, but none of them", b.start)
	}
	last := page.Kvs[len(page.Kvs)-1].GetKey()
	if bytes.Compare(last, b.start) < 0 {
		return nil, txnanswer.Errorf("key %q for a range from %q", last, b.start)
	}
	b.start = append(bytes.Clone(last), 0) // the lowest key after the page
	return page, nil
}

// deliver sends page and all later pages to the reader. It returns nil after the last page, or the
// error that ended the delivery.
func (b *base) deliver(page *clientv3.GetResponse) error {
	for {
		more := page.More // after the send, the page belongs to the reader
		select {
		case b.pages <- page:
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
		if !more {
			return nil
		}
		var err error
		if page, err = b.read(); err != nil {
			return err
		}
	}
}

func (b *base) end(err error) {
	if err != nil {
		b.errs <- err // does not block: the channel has room for one error
	}
	close(b.pages)
	close(b.errs)
	b.release()
}
