package recipe

import "errors"

var (
	// ErrKeyExists is returned where a key is to be created that is there.
	ErrKeyExists = errors.New("key already exists")

	// ErrNoWatcher is returned by WaitEvents and WaitPrefixEvents where the client was
	// closed, so that there is nobody to watch.
	ErrNoWatcher = errors.New("no watcher channel")

	// ErrTooManyClients is returned to those who come to a double barrier that has
	// its full count.
	ErrTooManyClients = errors.New("too many clients")

	// ErrWaitMismatch is returned by WaitEvents and WaitPrefixEvents where there is
	// no event to wait for.
	ErrWaitMismatch = errors.New("unexpected wait result")
)
