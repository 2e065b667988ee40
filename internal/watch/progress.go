package watch

import (
	"sync"
	"time"
)

// neverAnswers is after how long without an answer to its first request for progress a server is
// taken for one that does not answer them.
const neverAnswers = 3 * time.Second

// ProgressServers is what a client knows of its servers and requests for progress; see the package
// comment. It is safe for concurrent use.
type ProgressServers struct {
	mu        sync.Mutex
	byAddress map[string]progressServer
}

type progressServer struct {
	answers   bool
	requested time.Time // for the first time
}

// NewProgressServers returns a ProgressServers that knows no server.
func NewProgressServers() *ProgressServers {
	return &ProgressServers{byAddress: map[string]progressServer{}}
}

// look reports whether the server answers, and whether it may be asked.
func (s *ProgressServers) look(address string) (answers, mayAsk bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.byAddress[address]
	return p.answers, p.answers || !known
}

// requested notes that a server is asked.
func (s *ProgressServers) requested(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.byAddress[address]; !known {
		s.byAddress[address] = progressServer{requested: now}
	}
}

// answered notes that a server has answered.
func (s *ProgressServers) answered(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byAddress[address] = progressServer{answers: true}
}

// broken forgets the first request to a server if its stream ended before the request can be called
// unanswered.
func (s *ProgressServers) broken(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.byAddress[address]
	if known && !p.answers && now.Sub(p.requested) < neverAnswers {
		delete(s.byAddress, address)
	}
}
