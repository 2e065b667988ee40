package recipe

import "errors"

var (
	// ErrKeyExists is returned if a key that is to be created exists already.
	ErrKeyExists = errors.New("key already exists")

	// ErrNoWatcher is returned by WaitEvents and WaitPrefixEvents if the client is closed.
	ErrNoWatcher = errors.New("no watcher channel")

	// ErrTooManyClients is returned by Enter of a double barrier that has its full count.
	ErrTooManyClients = errors.New("too many clients")

	// ErrWaitMismatch is returned by WaitEvents and WaitPrefixEvents if they are given no event to
	// wait for.
	ErrWaitMismatch = errors.New("unexpected wait result")
)
