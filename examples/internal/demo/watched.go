package demo

import (
	"context"
	"io"
	"strings"
	"sync"
)

// Watched passes on what is written to it, so that a demonstration can wait until a program has
// written something. It is safe for concurrent use.
type Watched struct {
	out io.Writer

	mu      sync.Mutex
	pending string        // written, and not waited for
	more    chan struct{} // closed at the next Write
}

// NewWatched returns a Watched that passes on to out.
func NewWatched(out io.Writer) *Watched { return &Watched{out: out, more: make(chan struct{})} }

func (w *Watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending += string(p)
	close(w.more)
	w.more = make(chan struct{})
	return w.out.Write(p)
}

// Wait waits until text has been written, after what was waited for before, or ctx ends.
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
