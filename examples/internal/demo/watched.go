package demo

import (
	"context"
	"io"
	"strings"
	"sync"
)

// Watched is a writer that passes everything on to another writer. With [Watched.Wait], a
// demonstration waits until a certain text has been written. Watched is safe for concurrent use.
type Watched struct {
	out io.Writer

	mu      sync.Mutex
	pending string        // the text that was written after the last text found by Wait
	more    chan struct{} // closed and replaced by each Write
}

// NewWatched returns a Watched that passes everything on to out.
func NewWatched(out io.Writer) *Watched { return &Watched{out: out, more: make(chan struct{})} }

func (w *Watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending += string(p)
	close(w.more)
	w.more = make(chan struct{})
	return w.out.Write(p)
}

// Wait waits until the given text has been written, or until ctx ends. It begins to search after
// the text that the last call of Wait found.
func (w *Watched) Wait(ctx context.Context, text string) error {
	for {
		w.mu.Lock()
		_, rest, found := strings.Cut(w.pending, text)
		if found {
			w.pending = rest
		}
		more := w.more
		w.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}
