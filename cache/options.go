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
	prefix   string
	from     string // the first key of the range
	end      string // the first key behind it; "\x00" is the end of all keys
	ranged   bool   // WithRange was given
	pageSize int    // 0: pages grow with the range
	paged    bool   // WithPageSize was given
	keysOnly bool
	history  int64
	maxBytes int64 // 0: no limit
	audit    time.Duration
}

// WithRange makes the cache hold the keys from the key from up to, and without, the key end. An end
// of "\x00" means all keys from there on. The prefix given to New must then be empty.
func WithRange(from, end string) Option {
	return func(o *options) { o.from, o.end, o.ranged = from, end, true }
}

// WithPageSize sets how many keys one request reads while the range is listed, and has all of it
// read by such pages. By default the first page has 1,000 keys, and servers that can stream a range
// (etcd 3.7) send the other keys in one answer, in pieces of about 1.5 MiB. From other servers
// later pages of a large range are larger: a fiftieth of it, as long as a page has no more than
// about 8 MiB. A page that the client may not receive because of its size in bytes is halved; a
// piece that it may not receive has the rest read by pages.
func WithPageSize(keys int) Option {
	return func(o *options) { o.pageSize, o.paged = keys, true }
}

// WithKeysOnly leaves values and leases out: all pairs in the cache have a nil Value and a Lease of
// 0. A server reads neither when it lists keys only.
func WithKeysOnly() Option { return func(o *options) { o.keysOnly = true } }

// WithHistory sets how many bytes of changes the cache keeps, for watches that start in the past,
// reads of past revisions, and consumers that fell behind. The default is 64 MiB. 0 keeps the
// newest change only.
func WithHistory(bytes int64) Option { return func(o *options) { o.history = bytes } }

// WithMaxBytes sets how many bytes all keys and values together may take. If they take more, the
// cache ends with ErrTooLarge. The default is no limit.
func WithMaxBytes(bytes int64) Option { return func(o *options) { o.maxBytes = bytes } }

// WithAudit sets how often the number of keys is compared with that on the server. If it differs,
// the difference is logged and counted in Status, and the range is listed anew. The default is 5
// minutes; 0 turns it off. An audit costs the server a count of the range.
func WithAudit(interval time.Duration) Option { return func(o *options) { o.audit = interval } }

// newOptions returns the options for a prefix, or an error that names what is wrong with them.
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

// String names the range in errors and log lines.
func (o *options) String() string {
	if !o.ranged {
		return fmt.Sprintf("prefix %q", o.prefix)
	}
	return fmt.Sprintf("range [%q, %q)", o.from, o.end)
}
