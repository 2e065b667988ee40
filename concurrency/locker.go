package concurrency

import "sync"

// NewLocker returns a [Mutex] as a sync.Locker. Lock waits until the session or the
// client ends, and Unlock until the client does. Both panic with the error that the
// Mutex's method returned: a Locker has no other way to say that the lock was not
// acquired, or not released.
func NewLocker(s *Session, pfx string) sync.Locker { return locker{NewMutex(s, pfx)} }

type locker struct{ *Mutex }

// Lock implements sync.Locker.
func (l locker) Lock() {
	if err := l.Mutex.Lock(l.s.client.Ctx()); err != nil {
		panic(err) //nolint:forbidigo // a sync.Locker cannot return errors
	}
}

// Unlock implements sync.Locker.
func (l locker) Unlock() {
	if err := l.Mutex.Unlock(l.s.client.Ctx()); err != nil {
		panic(err) //nolint:forbidigo // a sync.Locker cannot return errors
	}
}
