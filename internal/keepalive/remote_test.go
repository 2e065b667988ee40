package keepalive

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// fakeRemote is a fake server, and implements the interfaces for auth tokens and targets. Each
// stream that is opened takes the next of the answers.
type fakeRemote struct {
	*Remote
	answers  []streamAnswer
	ttl      func(ctx context.Context, id int64) (*pb.LeaseTimeToLiveResponse, error)
	opened   int
	renewed  []uint64 // for each call of Renew, the generation of the token to replace
	token    uint64
	renewErr error
	avoided  int
	probes   atomic.Int32
	finished int // streams that were half-closed
}

// streamAnswer is a stream's response to a renewal: after a delay, the stream sends a TTL, or ends
// with an error.
type streamAnswer struct {
	after time.Duration
	ttl   int64
	err   error
}

var errNothing = errors.New("no answer")

func newFakeRemote(answers ...streamAnswer) *fakeRemote {
	f := &fakeRemote{answers: answers}
	f.ttl = func(context.Context, int64) (*pb.LeaseTimeToLiveResponse, error) {
		return &pb.LeaseTimeToLiveResponse{TTL: -1}, nil
	}
	f.Remote = &Remote{
		Open: f.open, Tokens: f, NoAnswer: errNothing, MaxAttempts: 4,
		ProbeMembers: func() { f.probes.Add(1) },
		TimeToLive: func(ctx context.Context, id int64) (*pb.LeaseTimeToLiveResponse, error) {
			return f.ttl(ctx, id)
		},
	}
	return f
}

func (f *fakeRemote) open(ctx context.Context) (Stream, error) {
	f.opened++
	a := f.answers[0]
	f.answers = f.answers[1:]
	return &onceStream{ctx: ctx, answer: a, remote: f}, nil
}

func (f *fakeRemote) Generation() uint64 { return f.token }

func (f *fakeRemote) Renew(_ context.Context, seen uint64) error {
	f.renewed = append(f.renewed, seen)
	f.token++
	return f.renewErr
}

func (f *fakeRemote) With(ctx context.Context) context.Context      { return ctx }
func (f *fakeRemote) AvoidLast()                                    { f.avoided++ }
func (f *fakeRemote) Elsewhere(ctx context.Context) context.Context { return ctx }

// onceStream answers one request and ends when it is half-closed.
type onceStream struct {
	ctx      context.Context
	answer   streamAnswer
	remote   *fakeRemote
	id       int64
	received bool
}

func (s *onceStream) Send(r *pb.LeaseKeepAliveRequest) error {
	s.id = r.ID
	return nil
}

func (s *onceStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	if s.received {
		return nil, io.EOF
	}
	s.received = true
	select {
	case <-time.After(s.answer.after):
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	if s.answer.err != nil {
		return nil, s.answer.err
	}
	return &pb.LeaseKeepAliveResponse{ID: s.id, TTL: s.answer.ttl}, nil
}

func (s *onceStream) CloseSend() error {
	s.remote.finished++
	return nil
}

// TestRenewOnceTriesAgain shows after which errors of a stream RenewOnce opens another stream, and
// after which it renews the auth token.
func TestRenewOnceTriesAgain(t *testing.T) {
	unavailable, denied := rpctypes.ErrGRPCStopped, rpctypes.ErrGRPCPermissionDenied
	badToken := rpctypes.ErrGRPCInvalidAuthToken
	for _, c := range []struct {
		name     string
		answers  []streamAnswer
		err      error
		opened   int
		tokens   int // how many auth tokens are renewed
		renewErr error
	}{
		{name: "at once", answers: []streamAnswer{{ttl: 9}}, opened: 1},
		{name: "unavailable", answers: []streamAnswer{{err: unavailable}, {ttl: 9}}, opened: 2},
		{name: "unavailable too often", err: unavailable, opened: 4, answers: []streamAnswer{
			{err: unavailable}, {err: unavailable}, {err: unavailable}, {err: unavailable}}},
		{name: "refused", answers: []streamAnswer{{err: denied}}, err: denied, opened: 1},
		{name: "a new token", answers: []streamAnswer{{err: badToken}, {ttl: 9}}, opened: 2,
			tokens: 1},
		{name: "no new token", answers: []streamAnswer{{err: badToken}}, renewErr: errors.New("x"),
			err: badToken, opened: 1, tokens: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeRemote(c.answers...)
				f.renewErr = c.renewErr
				resp, err := f.RenewOnce(t.Context(), f, 7)
				assert.Equal(t, c.err, err)
				if err == nil {
					assert.EqualValues(t, 7, resp.ID)
					assert.EqualValues(t, 9, resp.TTL)
					assert.Equal(t, 1, f.finished, "the server may end the stream")
				}
				assert.Equal(t, c.opened, f.opened)
				assert.Len(t, f.renewed, c.tokens)
			})
		})
	}
}

func TestRenewOnceOnAStreamWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRemote(streamAnswer{err: io.EOF})
		f.MaxAttempts = 1
		_, err := f.RenewOnce(t.Context(), f, 7)
		assert.Equal(t, errNothing, err)
	})
}

func TestRenewOnceProbesMembersIfTheAnswerIsLate(t *testing.T) {
	for after, probes := range map[time.Duration]int32{
		probeDelay / 2: 0, 2 * probeDelay: 1,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeRemote(streamAnswer{after: after, ttl: 9})
			_, err := f.RenewOnce(t.Context(), f, 7)
			require.NoError(t, err)
			assert.Equal(t, probes, f.probes.Load())
		})
	}
}

// TestRenewOnceOfALeaseThatOneMemberDoesNotKnow: a member that has not applied the grant yet
// answers that the lease is gone. RenewOnce then asks for the lease's TTL. If the lease still has
// one, RenewOnce sends the renewal to another member, at most maxOnceDoubts times.
func TestRenewOnceOfALeaseThatOneMemberDoesNotKnow(t *testing.T) {
	lives := func(context.Context, int64) (*pb.LeaseTimeToLiveResponse, error) {
		return &pb.LeaseTimeToLiveResponse{TTL: 5, GrantedTTL: 9}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRemote(streamAnswer{}, streamAnswer{ttl: 9})
		f.ttl = lives
		resp, err := f.RenewOnce(t.Context(), f, 7)
		require.NoError(t, err)
		assert.EqualValues(t, 9, resp.TTL)
		assert.Equal(t, 1, f.avoided)

		f = newFakeRemote(make([]streamAnswer, maxOnceDoubts+1)...)
		f.ttl = lives
		resp, err = f.RenewOnce(t.Context(), f, 7)
		require.NoError(t, err)
		assert.Zero(t, resp.TTL)
		assert.Equal(t, maxOnceDoubts+1, f.opened)

		f = newFakeRemote(streamAnswer{})
		resp, err = f.RenewOnce(t.Context(), f, 7)
		require.NoError(t, err)
		assert.Zero(t, resp.TTL)
		assert.Equal(t, 1, f.opened)
	})
}

// TestDialerReplacesWhatEndedTheLastStream: after a stream has stalled, the next stream goes to
// another member. After an auth token was refused, the next stream gets a new token.
func TestDialerReplacesWhatEndedTheLastStream(t *testing.T) {
	f := newFakeRemote(make([]streamAnswer, 4)...)
	f.token = 3
	dial := f.Dialer(f)
	_, err := dial(t.Context(), nil)
	require.NoError(t, err)
	assert.Zero(t, f.avoided, "the first stream")

	_, err = dial(t.Context(), ErrStalled)
	require.NoError(t, err)
	assert.Equal(t, 1, f.avoided)
	assert.EqualValues(t, 1, f.probes.Load())
	assert.Empty(t, f.renewed)

	_, err = dial(t.Context(), rpctypes.ErrGRPCInvalidAuthToken)
	require.NoError(t, err)
	assert.Equal(t, []uint64{3}, f.renewed, "the token of the latest stream")

	f.renewErr = errors.New("no token")
	_, err = dial(t.Context(), rpctypes.ErrGRPCInvalidAuthToken)
	assert.Equal(t, f.renewErr, err)
	assert.Equal(t, 3, f.opened)
}

// TestConfirmerBoundsItsQuestions: many leases may be gone at once. The Confirmer asks for the TTL
// of each lease once, with at most maxConfirming requests at a time. After its context has ended,
// it sends no request.
func TestConfirmerBoundsItsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asking, most, answers := 0, 0, map[int64]int{}
		f := newFakeRemote()
		f.ttl = func(ctx context.Context, id int64) (*pb.LeaseTimeToLiveResponse, error) {
			mu.Lock()
			asking++
			most = max(most, asking)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			asking--
			mu.Unlock()
			return &pb.LeaseTimeToLiveResponse{TTL: id}, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := NewConfirmer(ctx, f.Remote, f, func(id int64, gone bool, left time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			answers[id]++
			assert.False(t, gone)
			assert.Equal(t, time.Duration(id)*time.Second, left)
		})
		ids := make([]int64, 4*maxConfirming)
		for i := range ids {
			ids[i] = int64(i + 1)
		}
		start := time.Now()
		c.Ask(ids)
		c.Wait()
		assert.Equal(t, 4*time.Second, time.Since(start))
		assert.Equal(t, maxConfirming, most)
		assert.Len(t, answers, len(ids))

		cancel()
		c.Ask(ids)
		c.Wait()
		assert.Equal(t, 4*time.Second, time.Since(start))
	})
}

// TestWhatATTLSaysAboutALease lists which answers mean that the lease is gone.
func TestWhatATTLSaysAboutALease(t *testing.T) {
	type answer = pb.LeaseTimeToLiveResponse
	for name, c := range map[string]struct {
		resp *answer
		err  error
		gone bool
		left time.Duration
	}{
		"lives":            {resp: &answer{TTL: 3, GrantedTTL: 9}, left: 3 * time.Second},
		"its last second":  {resp: &answer{TTL: 0, GrantedTTL: 9}},
		"no such lease":    {resp: &answer{TTL: -1}, gone: true},
		"an empty answer":  {resp: &answer{}, gone: true},
		"refused":          {err: rpctypes.ErrGRPCPermissionDenied, gone: true},
		"member is away":   {err: rpctypes.ErrGRPCStopped},
		"longer than time": {resp: &answer{TTL: maxTTL + 1}, left: seconds(maxTTL)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRemote()
			f.ttl = func(context.Context, int64) (*pb.LeaseTimeToLiveResponse, error) {
				return c.resp, c.err
			}
			gone, left := f.timeLeft(t.Context(), 7)
			assert.Equal(t, c.gone, gone)
			assert.Equal(t, c.left, left)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRemote()
		f.ttl = func(ctx context.Context, _ int64) (*pb.LeaseTimeToLiveResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		gone, left := f.timeLeft(t.Context(), 7)
		assert.False(t, gone, "without an answer in time")
		assert.Zero(t, left)
	})
}
