package concurrency

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestCallsEndWithTheirContext makes each blocking call on a network that loses all data. The call
// returns soon after its context has ended. Calls that wait for another session are also made on a
// working network, which loses all data as soon as they wait.
func TestCallsEndWithTheirContext(t *testing.T) {
	admin, p := sharedClient(t)
	holder := NewMutex(newSession(t, admin), p+"held")
	require.NoError(t, holder.Lock(t.Context()))
	leader := NewElection(newSession(t, admin), p+"led")
	require.NoError(t, leader.Campaign(t.Context(), "leader"))

	proxy, client := proxied(t)
	s := newSession(t, client)
	held, free, waiting := NewMutex(s, p+"mine"), NewMutex(s, p+"free"), NewMutex(s, p+"held")
	led, campaigning := NewElection(s, p+"my election"), NewElection(s, p+"led")
	require.NoError(t, held.Lock(t.Context()))
	require.NoError(t, led.Campaign(t.Context(), "value"))
	var observed atomic.Int32
	calls := map[string]func(context.Context) error{
		"Lock, not held":      free.Lock,
		"Lock, held":          waiting.Lock,
		"TryLock":             free.TryLock,
		"Unlock":              held.Unlock,
		"Campaign, first":     NewElection(s, p+"free election").campaignWith("x"),
		"Campaign, not first": campaigning.campaignWith("x"),
		"Proclaim":            func(ctx context.Context) error { return led.Proclaim(ctx, "y") },
		"Resign":              led.Resign,
		"Leader":              func(ctx context.Context) error { return errOf(led.Leader(ctx)) },
		"NewSTM":              func(ctx context.Context) error { return readOne(ctx, client) },
		"NewSession": func(ctx context.Context) error {
			return errOf(NewSession(client, WithContext(ctx)))
		},
		"Observe": observing(led, &observed),
	}
	for name, waits := range map[string]func() bool{
		"Lock, held":          func() bool { return hasPlace(waiting.contender) },
		"Campaign, not first": func() bool { return hasPlace(campaigning.contender) },
		"Observe":             func() bool { return observed.Load() > 0 },
	} {
		endsInTime(t, proxy, name, calls[name], waits)
		proxy.Heal()
	}
	awaitKeys(t, admin, p+"held", 1)
	awaitKeys(t, admin, p+"led", 1)
	proxy.Blackhole(faultnet.Both)
	for name, call := range calls {
		endsInTime(t, proxy, name, call, nil)
	}
	proxy.Heal()
	awaitKeys(t, admin, p+"held", 1)
	awaitKeys(t, admin, p+"free", 0)
	awaitKeys(t, admin, p+"led", 1)
	awaitKeys(t, admin, p+"mine", 0)
	assert.NotEmpty(t, led.Key(), "a Resign that failed may be repeated")
	resigned := func() bool { return led.Resign(t.Context()) == nil }
	require.Eventually(t, resigned, time.Minute, time.Millisecond)
}

// endsInTime checks that a call returns soon after its context has ended. If the function waits is
// not nil, endsInTime calls it until it reports that the call is waiting. From then on, endsInTime
// makes the network lose all data.
func endsInTime(
	t *testing.T, proxy *faultnet.Proxy, name string, call func(context.Context) error,
	waits func() bool,
) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := async(func() error { return call(ctx) })
	if waits != nil {
		require.Eventually(t, waits, time.Minute, time.Millisecond, name)
		proxy.Blackhole(faultnet.Both)
	}
	<-ctx.Done()
	took := testclient.Stopwatch(t)
	err := result(t, done, time.Minute)
	assert.Less(t, took(), 100*time.Millisecond, name)
	assert.ErrorIs(t, err, context.DeadlineExceeded, name)
}

// observing returns a function that observes e until its context ends. The function counts the
// leaders that it receives in heard.
func observing(e *Election, heard *atomic.Int32) func(context.Context) error {
	return func(ctx context.Context) error {
		for range e.Observe(ctx) {
			heard.Add(1)
		}
		return ctx.Err()
	}
}

// errOf returns the error of a call.
func errOf[T any](_ T, err error) error { return err }

// campaignWith returns a function that calls Campaign with the value val.
func (e *Election) campaignWith(val string) func(context.Context) error {
	return func(ctx context.Context) error { return e.Campaign(ctx, val) }
}

func readOne(ctx context.Context, client *clientv3.Client) error {
	_, err := NewSTM(client, func(s STM) error { s.Get("key"); return nil }, WithAbortContext(ctx))
	return err
}
