package await

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

var (
	errPassing = errors.New("passing")
	errFinal   = errors.New("final")
)

func isFinal(err error) bool { return errors.Is(err, errFinal) }

// changeOf returns a Change, that is a function that waits for a change of the store. This one does
// not wait but returns the parameter seen at once.
func changeOf(seen bool) Change { return func(context.Context) bool { return seen } }

// TestLoop: Loop calls look until a step ends it, and waits only where it has to. Each step is what
// one call of look returns. If time has passed since the previous call, there was a wait.
func TestLoop(t *testing.T) {
	type step struct {
		next Change
		err  error
	}
	seen, lost := step{next: changeOf(true)}, step{next: changeOf(false)}
	passing, done := step{err: errPassing}, step{}
	for name, c := range map[string]struct {
		first Change
		steps []step
		waits int // number of calls of look that come after a wait
		want  error
	}{
		"there at the first look": {steps: []step{done}},
		"a final error":           {steps: []step{{err: errFinal}}, want: errFinal},
		"changes":                 {steps: []step{seen, seen, done}},
		"a first change":          {first: changeOf(true), steps: []step{done}},
		"a first watch that ends": {first: changeOf(false), steps: []step{done}, waits: 1},
		"watches that end":        {steps: []step{lost, lost, done}, waits: 2},
		"errors that pass":        {steps: []step{passing, passing, done}, waits: 2},
		"an error, then a final one": {steps: []step{passing, {err: errFinal}}, waits: 1,
			want: errFinal},
		"a change after an error":     {steps: []step{passing, seen, done}, waits: 1},
		"an error after many changes": {steps: []step{seen, seen, passing, done}, waits: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looks, waits, last := 0, 0, time.Now()
				err := Loop(t.Context(), c.first, func(context.Context) (Change, error) {
					if time.Since(last) > 0 {
						waits++
					}
					last = time.Now()
					looks++
					return c.steps[looks-1].next, c.steps[looks-1].err
				}, isFinal)
				assert.Equal(t, c.want, err)
				assert.Equal(t, len(c.steps), looks)
				assert.Equal(t, c.waits, waits)
			})
		})
	}
}

// TestLoopWaitsGrow: calls of look fail for an hour, and Loop's waits grow. When a Change, that is
// a function that waits for a change of the store, has returned true, the next wait is short again.
func TestLoopWaitsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, last := time.Now(), time.Now()
		var wait time.Duration
		looks, changed := 0, false
		err := Loop(t.Context(), nil, func(context.Context) (Change, error) {
			looks++
			wait, last = time.Since(last), time.Now()
			switch {
			case changed && wait > 0:
				return nil, nil
			case changed || time.Since(start) < time.Hour:
				return nil, errPassing
			}
			changed = true
			return changeOf(true), nil
		}, isFinal)
		assert.NoError(t, err)
		assert.Less(t, looks, 2*60*60+20, "waits grow to a second, of which half is left to chance")
		assert.LessOrEqual(t, wait, Retry.Base, "a change makes waits short again")
	})
}

// TestLoopEndsWithItsContext: Loop returns when its context ends, both in the wait after an error
// and while a Change waits for a change of the store.
func TestLoopEndsWithItsContext(t *testing.T) {
	for name, next := range map[string]Change{
		"error":  nil,
		"change": func(ctx context.Context) bool { <-ctx.Done(); return false },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := Loop(ctx, nil, func(context.Context) (Change, error) {
					if next == nil {
						return nil, errPassing
					}
					return next, nil
				}, isFinal)
				assert.Equal(t, context.DeadlineExceeded, err)
			})
		})
	}
}
