package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// fakeTokens is a fake source of auth tokens. A Refresh of the current generation makes the next
// generation.
type fakeTokens struct {
	generation uint64
	seen       []uint64
	fail       error
	fresh      int // how many more calls of Fresh may return true
}

func (f *fakeTokens) Generation() uint64 { return f.generation }

func (f *fakeTokens) Fresh(seen uint64) bool {
	f.fresh--
	return seen == f.generation && f.fresh >= 0
}

func (f *fakeTokens) Refresh(_ context.Context, seen uint64) error {
	f.seen = append(f.seen, seen)
	if f.fail == nil && seen == f.generation {
		f.generation++
	}
	return f.fail
}

func TestRefusedTokenIsRenewed(t *testing.T) {
	for _, refusal := range []error{rpctypes.ErrGRPCInvalidAuthToken,
		rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCUserEmpty} {
		synctest.Test(t, func(t *testing.T) {
			c, f, _ := newConn(t, 3, outcome{refusal, true}, outcome{refusal, true}, outcome{})
			tokens := &fakeTokens{generation: 7}
			c.cfg.Tokens = tokens
			assert.NoError(t, c.Invoke(t.Context(), pb.KV_Put_FullMethodName, putReq, nil))
			assert.Equal(t, []uint64{7, 8}, tokens.seen)
			assert.Equal(t, 3, f.calls)
		})
	}
}

// A member that lags behind may refuse a new token as invalid, because it does not know the token
// yet. The request is tried again with the same token. If the member says instead that the token is
// of an old auth revision, the token is renewed.
func TestNewTokenIsNotRenewedForALaggard(t *testing.T) {
	for _, tc := range []struct {
		refusal error
		want    []uint64
	}{
		{rpctypes.ErrGRPCInvalidAuthToken, nil},
		{rpctypes.ErrGRPCAuthOldRevision, []uint64{7, 8}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, f, _ := newConn(t, 3, outcome{tc.refusal, true}, outcome{tc.refusal, true},
				outcome{})
			tokens := &fakeTokens{generation: 7, fresh: 2}
			c.cfg.Tokens = tokens
			assert.NoError(t, c.Invoke(t.Context(), pb.KV_Put_FullMethodName, putReq, nil))
			assert.Equal(t, tc.want, tokens.seen)
			assert.Equal(t, 3, f.calls)
		})
	}
}

func TestRefusalsOfNewTokensEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f, _ := newConn(t, 3, outcome{rpctypes.ErrGRPCInvalidAuthToken, true})
		c.cfg.Tokens = &fakeTokens{}
		assert.Equal(t, rpctypes.ErrGRPCInvalidAuthToken,
			c.Invoke(t.Context(), pb.KV_Put_FullMethodName, putReq, nil))
		assert.Equal(t, maxTokenTries, f.calls)
	})
}

// TestFailedRenewalDecidesTheError: a token is refused, and the login that renews it fails. If the
// server has refused the login, the request returns the login's error. If the login got no answer,
// the request returns the refusal of the token, because the login's deadline is not the caller's.
func TestFailedRenewalDecidesTheError(t *testing.T) {
	for _, tc := range []struct{ fail, want error }{
		{rpctypes.ErrGRPCAuthFailed, rpctypes.ErrGRPCAuthFailed},
		{errors.New("one token only"), rpctypes.ErrGRPCInvalidAuthToken},
		// the login's own deadline has passed; the caller's has not
		{context.DeadlineExceeded, rpctypes.ErrGRPCInvalidAuthToken},
		{context.Canceled, rpctypes.ErrGRPCInvalidAuthToken},
	} {
		c, f, _ := newConn(t, 3, outcome{rpctypes.ErrGRPCInvalidAuthToken, true})
		c.cfg.Tokens = &fakeTokens{fail: tc.fail}
		assert.Equal(t, tc.want, c.Invoke(t.Context(), pb.KV_Put_FullMethodName, putReq, nil))
		assert.Equal(t, 1, f.calls)
	}
}
