package concurrency

import "errors"

// Errors of elections.
var (
	// ErrElectionNoLeader is returned by [Election.Leader] if there are no candidates.
	ErrElectionNoLeader = errors.New("election: no leader")

	// ErrElectionNotLeader is returned by [Election.Proclaim] if the session is no candidate, or if
	// the candidate's key is gone.
	ErrElectionNotLeader = errors.New("election: not leader")
)

// Errors of locks.
var (
	// ErrLockReleased is returned by [Mutex.Unlock] if the mutex is not locked.
	ErrLockReleased = errors.New("mutex: lock has already been released")

	// ErrLocked is returned by [Mutex.TryLock] if another session has the lock or waits for it.
	ErrLocked = errors.New("mutex: Locked by another session")

	// ErrSessionExpired is returned by calls whose session was closed before or ends while they
	// run. Calls that wait also return it if their key is deleted. A Lock, TryLock or Campaign that
	// begins after the session's lease has expired returns rpctypes.ErrLeaseNotFound instead.
	ErrSessionExpired = errors.New("mutex: session is expired")
)
