package watch

import (
	"sync"
	"time"
)

// neverAnswers is how long a server may take to answer its first request for progress. A server
// that takes longer is never asked again. But if a stream to it ends within this time, the request
// may be lost. The server may then be asked again.
const neverAnswers = 3 * time.Second

// ProgressServers remembers which servers answer requests for progress; see the package comment. It
// is safe for concurrent use.
type ProgressServers struct{ byAddress sync.Map } // a progressServer for each address

type progressServer struct {
	answers   bool
	requested time.Time // when the first request for progress was sent
}

// NewProgressServers returns a ProgressServers that knows no server.
func NewProgressServers() *ProgressServers { return new(ProgressServers) }

// look reports whether the server at address is known to answer requests for progress, and whether
// such a request may be sent to it.
func (s *ProgressServers) look(address string) (answers, mayAsk bool) {
	v, known := s.byAddress.Load(address)
	p, _ := v.(progressServer)
	return p.answers, p.answers || !known
}

// requested notes that a request for progress is sent to the server at address.
func (s *ProgressServers) requested(address string, now time.Time) {
	s.byAddress.LoadOrStore(address, progressServer{requested: now})
}

// answered notes that the server at address has answered a request for progress.
func (s *ProgressServers) answered(address string) {
	s.byAddress.Store(address, progressServer{answers: true})
}

// broken notes that a stream to the server at address has ended. If the first request for progress
// is younger than neverAnswers and unanswered, broken forgets it. The server may then be asked
// again.
func (s *ProgressServers) broken(address string, now time.Time) {
	v, _ := s.byAddress.Load(address)
	p, known := v.(progressServer)
	if known && !p.answers && now.Sub(p.requested) < neverAnswers {
		s.byAddress.CompareAndDelete(address, p) // unless the server has answered meanwhile
	}
}
