package watch

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

const (
	namesTheToken = "etcdserver: invalid auth token"
	denied        = "etcdserver: permission denied"
)

// TestARefusedCreateIsTriedOnceMoreWithAnotherToken: a watch whose create request is refused is
// created again on a new stream, with a new auth token. If the server refuses the second request
// too, the watch ends.
func TestARefusedCreateIsTriedOnceMoreWithAnotherToken(t *testing.T) {
	for _, reason := range []string{namesTheToken, denied} {
		inWorld(t, func(t *testing.T, w *world) {
			w.locked(func() { w.refuse = reason })
			s := w.watch(t.Context(), 0)
			after(time.Second)
			assert.Len(t, w.seen().opened, 2)
			assert.Equal(t, []uint64{0}, w.seen().renewed)
			require.Len(t, s.ended(), 1)
			assert.Equal(t, reason, s.ended()[0].Reason)
		})
	}
}

// TestRefusalsThatDoNotNameTheTokenReconnectOnceASecond: a consumer creates a watch that is not
// permitted, again and again. The stream is opened anew at most once a second, because all other
// watches of the stream must resume each time. A refusal because of the auth token has no such
// limit.
func TestRefusalsThatDoNotNameTheTokenReconnectOnceASecond(t *testing.T) {
	for reason, most := range map[string]int{denied: 12, namesTheToken: 200} {
		inWorld(t, func(t *testing.T, w *world) {
			s := w.watch(t.Context(), 0)
			w.locked(func() { w.refuse, w.refusesOnly = reason, 5 })
			for range 100 {
				w.watch(t.Context(), 5)
				after(100 * time.Millisecond)
			}
			assert.LessOrEqual(t, len(w.seen().opened), most)
			assert.Greater(t, len(w.seen().opened), most/3)
			assert.Empty(t, s.ended())
		})
	}
}

// TestAStreamThatEndsForItsTokenIsFollowedByOneWithAnother: if a stream ends because of its auth
// token, the next stream waits for a new token. If the login is denied, the next stream is opened
// with the old token.
func TestAStreamThatEndsForItsTokenIsFollowedByOneWithAnother(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		waits bool
	}{
		"obtained":       {},
		"not available":  {rpctypes.ErrGRPCStopped, true},
		"not obtainable": {rpctypes.ErrGRPCAuthFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				s := w.watch(t.Context(), 0)
				w.locked(func() { w.renewErr = c.err })
				w.end(rpctypes.ErrGRPCInvalidAuthToken)
				after(10 * time.Second)
				if !c.waits {
					assert.Len(t, w.seen().opened, 2)
					assert.Equal(t, []uint64{0}, w.seen().renewed)
					return
				}
				assert.Len(t, w.seen().opened, 1)
				assert.Greater(t, len(w.seen().renewed), 3)
				w.locked(func() { w.renewErr = nil })
				after(2 * time.Second)
				assert.Len(t, w.seen().opened, 2)
				assert.Empty(t, s.ended())
			})
		})
	}
}

func TestWithoutTokensARefusedWatchEndsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.locked(func() { w.refuse = namesTheToken })
		s := w.watch(t.Context(), 0)
		assert.Len(t, w.seen().opened, 1)
		assert.Len(t, s.ended(), 1)

		w.locked(func() { w.refuse = "" })
		w.watch(t.Context(), 0)
		w.end(errors.New("cut"))
		after(time.Second)
		assert.Len(t, w.seen().opened, 3)
	}, func(cfg *Config) { cfg.Tokens = nil })
}
