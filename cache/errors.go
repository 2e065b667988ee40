package cache

import "errors"

var (
	// ErrClosed is the error of a cache whose Close was called, or whose client was closed.
	ErrClosed = errors.New("cache: closed")
	// ErrTooLarge is the error of a cache whose keys and values take more than WithMaxBytes.
	ErrTooLarge = errors.New("cache: the range is larger than the cache may be")
)
