package concurrency

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestPutAppliedDespiteAnErrorLeavesNoKey: a put fails with a status that looks like a refusal
// although the server has applied it. A server that runs out of space applies the request that
// takes the last of it and answers "no space". An answer over the client's limit on messages fails
// with the same code. Clean-up deletes the key that such a put has made.
func TestPutAppliedDespiteAnErrorLeavesNoKey(t *testing.T) {
	for name, after := range map[string]error{
		"no space": rpctypes.ErrGRPCNoSpace,
		"answer too large": status.Error(codes.ResourceExhausted,
			"grpc: received message larger than max"),
	} {
		for call, acquire := range map[string]func(*Session, context.Context) error{
			"Lock": func(s *Session, ctx context.Context) error {
				return NewMutex(s, "key").Lock(ctx)
			},
			"TryLock": func(s *Session, ctx context.Context) error {
				return NewMutex(s, "key").TryLock(ctx)
			},
			"Campaign": func(s *Session, ctx context.Context) error {
				return NewElection(s, "key").Campaign(ctx, "v")
			},
		} {
			t.Run(name+" "+call, func(t *testing.T) {
				fake, client := newFake(t)
				s := newSession(t, client)
				fake.FailAfterApply("Txn", 1, after)
				require.Error(t, acquire(s, t.Context()))
				awaitKeys(t, client, "key", 0)
				assert.NoError(t, acquire(newSession(t, client), t.Context()),
					"nobody stands in the way")
			})
		}
	}
}

// TestCleanUpOutlastsServersThatAreBusy: a key that Unlock has left to clean-up is deleted, also if
// a server or proxy answers once that it is busy. Clean-up gives up on refusals only.
func TestCleanUpOutlastsServersThatAreBusy(t *testing.T) {
	fake, client := newFake(t)
	m := NewMutex(newSession(t, client), "key")
	require.NoError(t, m.Lock(t.Context()))
	fake.Fail("Txn", 3, status.Error(codes.ResourceExhausted, "so many requests"))
	require.Error(t, m.Unlock(t.Context()))
	awaitKeys(t, client, "key", 0)

	require.NoError(t, m.Lock(t.Context()))
	fake.Fail("Txn", 2, rpctypes.ErrGRPCPermissionDenied)
	require.Error(t, m.Unlock(t.Context()))
	require.Eventually(t, func() bool {
		return fake.Calls("Txn") == 8
	}, 5*time.Second, time.Millisecond)
	testclient.Throughout(t, 200*time.Millisecond, func() bool {
		return fake.Calls("Txn") == 8
	}, "clean-up has given up")
	require.NoError(t, m.Unlock(t.Context()), "it can be repeated")
	assert.Empty(t, keysUnder(t, client, "key"))
}

// TestLockAfterADeniedUnlock has a key stay that neither Unlock nor clean-up could delete. A request
// of theirs may still be applied, so Lock does not rely on that key.
func TestLockAfterADeniedUnlock(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client)
	m := NewMutex(s, "key")
	require.NoError(t, m.Lock(t.Context()))
	denied := m.Rev()
	fake.Fail("Txn", 2, rpctypes.ErrGRPCPermissionDenied)
	require.Error(t, m.Unlock(t.Context()))
	require.Eventually(t, func() bool {
		return fake.Calls("Txn") == 3
	}, 5*time.Second, time.Millisecond)
	require.NoError(t, m.Lock(t.Context()))
	assert.Greater(t, m.Rev(), denied)
	held := m.Ctx()
	testclient.Throughout(t, 100*time.Millisecond, func() bool {
		return held.Err() == nil && len(keysUnder(t, client, "key")) == 1
	}, "the lock is held")
	require.NoError(t, m.Unlock(t.Context()))
	assert.Empty(t, keysUnder(t, client, "key"))
}
