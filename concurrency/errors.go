package concurrency

import "errors"

// Errors of elections.
var (
	// ErrElectionNoLeader is returned by Leader if there are no candidates.
	ErrElectionNoLeader = errors.New("election: no leader")

	// ErrElectionNotLeader is returned by Proclaim if the session is no candidate.
	ErrElectionNotLeader = errors.New("election: not leader")
)

// Errors of locks.
var (
	// ErrLockReleased is returned by Unlock of a mutex that is not locked.
	ErrLockReleased = errors.New("mutex: lock has already been released")

	// ErrLocked is returned by TryLock if another session has the lock.
	ErrLocked = errors.New("mutex: Locked by another session")

	// ErrSessionExpired is returned by calls whose session has expired or was closed, and by calls
	// whose key was deleted while they were waiting.
	ErrSessionExpired = errors.New("mutex: session is expired")
)
