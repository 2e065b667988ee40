package cache

import (
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	defaultPageSize = 1000
	defaultHistory  = 64 << 20
	defaultAudit    = 5 * time.Minute
)

// Option configures New.
type Option func(*options)

type options struct {
	prefix string
	from   string // the first key of the range
	end    string // the first key after the range; "\x00" if the range has no upper end
	ranged bool   // WithRange was given
	// pageSize is how many keys one request reads when the whole range is read; 0 without
	// WithPageSize.
	pageSize int
	paged    bool // WithPageSize was given
	keysOnly bool
	history  int64
	maxBytes int64 // the limit on the bytes of all keys and values; noLimit: none
	audit    time.Duration
}

// WithRange makes the cache hold the keys k with from <= k < end. An end of "\x00" means that there
// is no upper end. The prefix given to New must then be empty.
func WithRange(from, end string) Option {
	return func(o *options) { o.from, o.end, o.ranged = from, end, true }
}

// WithPageSize sets how many keys one request reads when the cache reads the whole range. The cache
// then reads the range only by pages of this size.
//
// Without WithPageSize, the first page has 1,000 keys. A server with the RangeStream method (etcd
// 3.7) then sends all other keys in one streamed answer, in pieces of about 1.5 MiB. From an older
// server, the later pages of a large range each have a fiftieth of the keys, but not more than
// about 8 MiB.
//
// If a page has more bytes than the client may receive, the page size is halved. If a piece of a
// streamed answer is too large, the rest is read by pages.
func WithPageSize(keys int) Option {
	return func(o *options) { o.pageSize, o.paged = keys, true }
}

// WithKeysOnly makes the cache hold no values and no leases: all its key-value pairs have a nil
// Value and a Lease of 0. When the cache reads the range, the server then lists keys only, and
// reads neither values nor leases.
func WithKeysOnly() Option { return func(o *options) { o.keysOnly = true } }

// WithHistory sets how many bytes of changes the cache keeps. They serve watches that start at a
// past revision, reads of past revisions, and consumers that fell behind. The default is 64 MiB.
// With 0 the cache keeps the newest change only.
func WithHistory(bytes int64) Option { return func(o *options) { o.history = bytes } }

// WithMaxBytes sets how many bytes all keys and values together may take. If they take more, the
// cache ends with ErrTooLarge. The default is no limit. While the range is being read, the keys and
// values are of different revisions. Then the cache ends only if they take twice the limit.
func WithMaxBytes(bytes int64) Option { return func(o *options) { o.maxBytes = bytes } }

// WithAudit sets how often the cache compares its number of keys with the number on the server. If
// they differ, the cache logs the difference, counts it in Status, and reads the whole range again.
// The default is 5 minutes; 0 turns audits off. An audit costs the server one count of the range.
func WithAudit(interval time.Duration) Option { return func(o *options) { o.audit = interval } }

// newOptions returns the options for a prefix. Its error says which options are invalid.
func newOptions(prefix string, opts []Option) (options, error) {
	o := options{
		prefix: prefix, history: defaultHistory, audit: defaultAudit,
		maxBytes: noLimit,
	}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	if !o.ranged {
		o.from, o.end = prefix, clientv3.GetPrefixRangeEnd(prefix)
		if prefix == "" {
			o.from, o.end = "\x00", "\x00"
		}
	}
	return o, o.check()
}

const noLimit = -1

func (o *options) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("cache: "+format, args...))
	}
	if o.ranged && o.prefix != "" {
		bad("prefix %q is given together with WithRange(%q, %q)", o.prefix, o.from, o.end)
	}
	if o.ranged && (o.from == "" || o.end == "" || o.end != "\x00" && o.end <= o.from) {
		bad("WithRange(%q, %q) is not a range", o.from, o.end)
	}
	if o.paged && o.pageSize < 1 {
		bad("WithPageSize(%d) is below 1", o.pageSize)
	}
	if o.history < 0 {
		bad("WithHistory(%d) is negative", o.history)
	}
	if o.maxBytes != noLimit && o.maxBytes < 1 {
		bad("WithMaxBytes(%d) is below 1", o.maxBytes)
	}
	if o.audit < 0 {
		bad("WithAudit(%v) is negative", o.audit)
	}
	return errors.Join(errs...)
}

// contains reports whether a key lies in the range of the cache.
func (o *options) contains(key string) bool {
	return key >= o.from && (o.end == "\x00" || key < o.end)
}

// String returns a name of the range for errors and log lines.
func (o *options) String() string {
	if !o.ranged {
		return fmt.Sprintf("prefix %q", o.prefix)
	}
	return fmt.Sprintf("range [%q, %q)", o.from, o.end)
}
