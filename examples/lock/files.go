package main

import (
	"errors"
	"sync"
)

// fileServer stands for a system outside of etcd that the lock protects. It does not know who holds
// the lock. But each new holder has a greater token, so a write with a lower token than the highest
// one seen comes from a holder that has lost the lock.
type fileServer struct {
	mu      sync.Mutex
	highest int64
	content string
}

// write replaces the content. It returns an error if a later holder of the lock has already
// written.
func (s *fileServer) write(token int64, content string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token < s.highest {
		return errors.New("refused: a later holder has been here")
	}
	s.highest, s.content = token, content
	return nil
}
