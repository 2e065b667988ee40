package main

import (
	"errors"
	"sync"
)

// fileServer stands for a system outside of etcd that the lock protects. It knows nothing of locks,
// only that tokens grow: a request with a token lower than one it has seen comes from a holder that
// has lost the lock.
type fileServer struct {
	mu      sync.Mutex
	highest int64
	content string
}

// write replaces the content, or returns an error if a later holder has been here.
func (s *fileServer) write(token int64, content string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token < s.highest {
		return errors.New("refused: a later holder has been here")
	}
	s.highest, s.content = token, content
	return nil
}
