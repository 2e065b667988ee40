package authtoken

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func attached(t *testing.T, s *Source) string {
	t.Helper()
	md, err := s.GetRequestMetadata(t.Context())
	require.NoError(t, err)
	return md[rpctypes.TokenFieldNameGRPC]
}

// server issues token-1, token-2, … and counts the calls.
type server struct {
	calls atomic.Int64
	fail  error         // returned instead of a token
	hold  chan struct{} // if not nil, authenticate waits until it is closed
}

func (v *server) authenticate(ctx context.Context) (string, error) {
	n := v.calls.Add(1)
	if v.hold != nil {
		select {
		case <-v.hold:
		case <-ctx.Done():
			return "", status.FromContextError(ctx.Err()).Err()
		}
	}
	if v.fail != nil {
		return "", v.fail
	}
	return fmt.Sprintf("token-%d", n), nil
}

func TestZeroSourceIsForCertificates(t *testing.T) {
	var s Source
	assert.Zero(t, s.Generation())
	assert.Empty(t, attached(t, &s))
	assert.NoError(t, s.Ensure(t.Context()))
	assert.NoError(t, s.Refresh(t.Context(), 0), "a refused request can be tried again as it is")
	assert.Zero(t, s.Generation())
	assert.False(t, s.RequireTransportSecurity())
	s.Close()
}

func TestStaticTokenIsNeverRefreshed(t *testing.T) {
	s := Static("jwt")
	assert.NotZero(t, s.Generation())
	assert.NoError(t, s.Ensure(t.Context()))
	assert.ErrorIs(t, s.Refresh(t.Context(), s.Generation()), ErrStatic)
	assert.Equal(t, "jwt", attached(t, s))
	s.Close()
	assert.Equal(t, "jwt", attached(t, s))
}

func TestEnsureAsksOnce(t *testing.T) {
	v := &server{}
	s := New(t.Context(), v.authenticate)
	defer s.Close()
	assert.Empty(t, attached(t, s))
	assert.Zero(t, v.calls.Load(), "nothing is asked before it is needed")
	require.NoError(t, s.Ensure(t.Context()))
	require.NoError(t, s.Ensure(t.Context()))
	assert.Equal(t, "token-1", attached(t, s))
	assert.EqualValues(t, 1, v.calls.Load())
}

func TestRefreshComparesGenerations(t *testing.T) {
	v := &server{}
	s := New(t.Context(), v.authenticate)
	defer s.Close()
	require.NoError(t, s.Ensure(t.Context()))
	old := s.Generation()
	require.NoError(t, s.Refresh(t.Context(), old))
	assert.Equal(t, "token-2", attached(t, s))
	require.NoError(t, s.Refresh(t.Context(), old), "a late caller finds the new token")
	assert.EqualValues(t, 2, v.calls.Load())
	assert.NotEqual(t, old, s.Generation())
}

func TestOneRequestForAThousandCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{hold: make(chan struct{})}
		s := New(t.Context(), v.authenticate)
		defer s.Close()
		var done sync.WaitGroup
		for range 1000 {
			done.Go(func() {
				assert.NoError(t, s.Ensure(t.Context()))
				assert.Equal(t, "token-1", attached(t, s))
			})
		}
		synctest.Wait() // all wait for one answer
		close(v.hold)
		done.Wait()
		assert.EqualValues(t, 1, v.calls.Load())
	})
}

func TestTokenIsSwappedInOneStep(t *testing.T) {
	v := &server{}
	s := New(t.Context(), v.authenticate)
	defer s.Close()
	require.NoError(t, s.Ensure(t.Context()))
	stop, end := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ok := true; ok && stop.Err() == nil; {
				ok = assert.NotEmpty(t, attached(t, s))
			}
		})
	}
	for range 1000 {
		require.NoError(t, s.Refresh(t.Context(), s.Generation()))
	}
	end()
	readers.Wait()
	assert.EqualValues(t, 1001, v.calls.Load())
}

func TestWaiterLeavesTheOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{hold: make(chan struct{})}
		s := New(t.Context(), v.authenticate)
		defer s.Close()
		first, leave := context.WithCancel(t.Context())
		firstErr, secondErr := make(chan error, 1), make(chan error, 1)
		go func() { firstErr <- s.Refresh(first, 0) }()
		synctest.Wait() // the first caller has started the request
		go func() { secondErr <- s.Refresh(t.Context(), 0) }()
		synctest.Wait()
		leave()
		assert.Equal(t, context.Canceled, <-firstErr)
		close(v.hold)
		assert.NoError(t, <-secondErr)
		assert.Equal(t, "token-1", attached(t, s))
		assert.EqualValues(t, 1, v.calls.Load())
	})
}

func TestFailureIsSharedAndNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{hold: make(chan struct{}), fail: rpctypes.ErrGRPCAuthFailed}
		s := New(t.Context(), v.authenticate)
		defer s.Close()
		errs := make(chan error, 10)
		for range cap(errs) {
			go func() { errs <- s.Refresh(t.Context(), 0) }()
		}
		synctest.Wait()
		close(v.hold)
		for range cap(errs) {
			assert.Equal(t, rpctypes.ErrAuthFailed, rpctypes.Error(<-errs))
		}
		assert.EqualValues(t, 1, v.calls.Load())
		v.fail = nil
		require.NoError(t, s.Refresh(t.Context(), 0), "the next caller asks again")
		assert.Equal(t, "token-2", attached(t, s))
	})
}

func TestFailureKeepsTheOldToken(t *testing.T) {
	v := &server{}
	s := New(t.Context(), v.authenticate)
	defer s.Close()
	require.NoError(t, s.Ensure(t.Context()))
	seen := s.Generation()
	v.fail = status.Error(codes.Unavailable, "down")
	assert.Equal(t, v.fail, s.Refresh(t.Context(), seen))
	assert.Equal(t, "token-1", attached(t, s))
	assert.Equal(t, seen, s.Generation())
}

func TestAuthNotEnabledDropsTheToken(t *testing.T) {
	for name, refusal := range map[string]error{
		"status":  rpctypes.ErrGRPCAuthNotEnabled,
		"etcd":    rpctypes.ErrAuthNotEnabled,
		"wrapped": fmt.Errorf("member 1: %w", rpctypes.ErrAuthNotEnabled),
	} {
		t.Run(name, func(t *testing.T) {
			v := &server{}
			s := New(t.Context(), v.authenticate)
			defer s.Close()
			require.NoError(t, s.Ensure(t.Context()))
			seen := s.Generation()
			v.fail = refusal
			require.NoError(t, s.Refresh(t.Context(), seen))
			assert.Empty(t, attached(t, s))
			assert.NotEqual(t, seen, s.Generation())
			require.NoError(t, s.Ensure(t.Context()), "no question before each request")
			assert.EqualValues(t, 2, v.calls.Load())

			v.fail = nil // authentication is enabled again, so Refresh gets a token
			require.NoError(t, s.Refresh(t.Context(), s.Generation()))
			assert.Equal(t, "token-3", attached(t, s))
		})
	}
}

func TestAnswerWithoutTokenIsAnError(t *testing.T) {
	s := New(t.Context(), func(context.Context) (string, error) { return "", nil })
	defer s.Close()
	assert.ErrorContains(t, s.Ensure(t.Context()), "without a token")
	assert.Zero(t, s.Generation())
}

func TestCloseEndsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{hold: make(chan struct{})}
		s := New(t.Context(), v.authenticate)
		errs := make(chan error, 10)
		for range cap(errs) {
			go func() { errs <- s.Refresh(context.Background(), 0) }()
		}
		synctest.Wait()
		s.Close()
		for range cap(errs) {
			assert.Equal(t, context.Canceled, <-errs)
		}
		s.Close()
		assert.Equal(t, context.Canceled, s.Refresh(context.Background(), 0))
		assert.EqualValues(t, 1, v.calls.Load())
	})
}

func TestClientContextEndsTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v := &server{hold: make(chan struct{})}
	s := New(ctx, v.authenticate)
	defer s.Close()
	errs := make(chan error, 1)
	go func() { errs <- s.Refresh(context.Background(), 0) }()
	require.Eventually(t, func() bool {
		return v.calls.Load() == 1
	}, time.Minute, time.Millisecond)
	cancel()
	assert.Equal(t, context.Canceled, <-errs)
	assert.Equal(t, context.Canceled, s.Ensure(context.Background()),
		"a cancelled client asks no more")
}

func TestFreshForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{}
		s := New(t.Context(), v.authenticate)
		defer s.Close()
		assert.False(t, s.Fresh(0), "no token")
		require.NoError(t, s.Ensure(t.Context()))
		first := s.Generation()
		time.Sleep(freshFor - time.Millisecond)
		assert.True(t, s.Fresh(first))
		time.Sleep(time.Millisecond)
		assert.False(t, s.Fresh(first))
		require.NoError(t, s.Refresh(t.Context(), first))
		assert.False(t, s.Fresh(first), "not the current one")
		assert.True(t, s.Fresh(s.Generation()))
		v.fail = rpctypes.ErrGRPCAuthNotEnabled
		require.NoError(t, s.Refresh(t.Context(), s.Generation()))
		assert.False(t, s.Fresh(s.Generation()), "no token any more")
		assert.False(t, Static("jwt").Fresh(1))
	})
}

func TestManyCallersOverManyExpiries(t *testing.T) {
	v := &server{}
	s := New(t.Context(), v.authenticate)
	defer s.Close()
	const expiries, callers = 50, 100
	for range expiries {
		seen := s.Generation()
		var done sync.WaitGroup
		for range callers {
			done.Go(func() { assert.NoError(t, s.Refresh(t.Context(), seen)) })
		}
		done.Wait()
	}
	assert.EqualValues(t, expiries, v.calls.Load())
	assert.False(t, errors.Is(s.Refresh(t.Context(), s.Generation()), ErrStatic))
}
