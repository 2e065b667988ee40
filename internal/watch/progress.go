package watch

import (
	"sync"
	"time"
)

// neverAnswers is the time after which a server that has not answered its first request for
// progress is taken for one that never answers such requests.
const neverAnswers = 3 * time.Second

// ProgressServers remembers which servers of a client answer requests for progress; see the package
// comment. It is safe for concurrent use.
type ProgressServers struct {
	mu        sync.Mutex
	byAddress map[string]progressServer
}

type progressServer struct {
	answers   bool
	requested time.Time // when the server was asked first
}

// NewProgressServers returns a ProgressServers that knows no server.
func NewProgressServers() *ProgressServers {
	return &ProgressServers{byAddress: map[string]progressServer{}}
}

// look reports whether the server is known to answer, and whether it may be asked.
func (s *ProgressServers) look(address string) (answers, mayAsk bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.byAddress[address]
	return p.answers, p.answers || !known
}

// requested notes that a server is asked for progress.
func (s *ProgressServers) requested(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.byAddress[address]; !known {
		s.byAddress[address] = progressServer{requested: now}
	}
}

// answered notes that a server has answered a request for progress.
func (s *ProgressServers) answered(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byAddress[address] = progressServer{answers: true}
}

// broken is called when a stream of the server has ended. It forgets the first request to a server
// that had less than neverAnswers to answer it, so that the server may be asked again.
func (s *ProgressServers) broken(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.byAddress[address]
	if known && !p.answers && now.Sub(p.requested) < neverAnswers {
		delete(s.byAddress, address)
	}
}
