package cache

import "errors"

var (
	// ErrClosed is the error of a cache whose Close was called, or whose client was closed.
	ErrClosed = errors.New("cache: closed")
	// ErrTooLarge is the error of a cache whose keys and values take more bytes than WithMaxBytes
	// allows.
	ErrTooLarge = errors.New("cache: the range is larger than the cache may be")
)
