package leasing

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// newEpoch makes a cache that can answer requests: it has a session whose lease lives for another
// hour.
func newEpoch(t *testing.T) *cache {
	c := newCache(pfx)
	c.startEpoch(&epoch{lease: 1, certainUntil: time.Now().Add(time.Hour),
		keepAliveEnd: &clientv3.KeepAliveEnd{},
		ctx:          t.Context()})
	return c
}

// ownIn adds a key to the cache as one that the client owns. The key has had its value since the
// revision rev.
func ownIn(t *testing.T, c *cache, key, value string, rev int64) *ownership {
	t.Helper()
	tn := c.begin(key)
	require.NotNil(t, tn)
	c.acquired(tn, rev, cachedValue(key, value, rev))
	return tn
}

func cachedValue(key, value string, rev int64) *cachedKey {
	return &cachedKey{kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value),
		ModRevision: rev},
		rev: rev}
}

// seen returns the value of the key in the cache's answer, or "" if the cache does not answer.
func seen(c *cache, key string) string {
	resp, _ := c.get(key, nil)
	if resp == nil {
		return ""
	}
	return string(resp.Kvs[0].Value)
}

func TestCacheAnswersOnlyWhileNothingIsUnderWay(t *testing.T) {
	c := newEpoch(t)
	w := writes{keys: []string{"k"}}
	tn := c.begin("k")
	require.Nil(t, c.begin("k"), "a key has one ownership")
	_, pending := c.get("k", nil)
	require.Same(t, tn, pending)
	_, change := c.beginWrite(w)
	require.Len(t, change, 1, "writes wait until it is settled")
	c.acquired(tn, 5, cachedValue("k", "v5", 5))
	<-change[0]
	require.Equal(t, "v5", seen(c, "k"))

	first, change := c.beginWrite(w)
	require.Nil(t, change)
	require.Equal(t, []*ownership{tn}, first)
	second, _ := c.beginWrite(w)
	require.Empty(t, seen(c, "k"))
	c.endWrite(second, []*cachedKey{cachedValue("k", "v7", 7)})
	require.Empty(t, seen(c, "k"), "the other one may have been applied too")
	c.endWrite(first, []*cachedKey{cachedValue("k", "v6", 6)})
	require.Equal(t, "v7", seen(c, "k"), "whichever answer comes first")

	refused, _ := c.beginWrite(w)
	c.endWrite(refused, nil)
	require.Equal(t, "v7", seen(c, "k"))
	lost, _ := c.beginWrite(w)
	c.endWrite(lost, []*cachedKey{nil})
	require.Empty(t, seen(c, "k"))
	require.Error(t, tn.ctx.Err(), "it is to leave")
	_, change = c.beginWrite(w)
	require.Len(t, change, 1)
	c.end(tn)
	<-change[0]
	c.running.Done()
	require.Nil(t, c.begin("k"), "the key has a cooldown")
}

func TestCacheForgetsWithTheEpoch(t *testing.T) {
	c := newEpoch(t)
	ownership, settling := ownIn(t, c, "owned", "v", 5), c.begin("settling")
	c.endEpoch()
	require.Empty(t, seen(c, "owned"))
	<-ownership.ended
	<-settling.ended
	require.Nil(t, c.begin("new"))
	c.acquired(settling, 6, cachedValue("settling", "v", 6)) // too late
	require.Empty(t, seen(c, "settling"))
	c.end(ownership)
	c.end(settling)
	require.Empty(t, c.ownerships)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	c.startEpoch(&epoch{certainUntil: time.Now(), keepAliveEnd: &clientv3.KeepAliveEnd{},
		ctx: over})
	ownIn(t, c, "uncertain", "v", 7)
	require.Empty(t, seen(c, "uncertain"))
}

func TestCacheReleasesRanges(t *testing.T) {
	c := newEpoch(t)
	in, out := ownIn(t, c, "b", "v", 5), ownIn(t, c, "d", "v", 6)
	w := writes{ranges: []keyRange{{pfx + "a", pfx + "c"}}}
	_, change := c.beginWrite(w)
	require.Len(t, change, 1)
	require.Empty(t, seen(c, "b"))
	require.Equal(t, "v", seen(c, "d"))
	c.end(in)
	<-change[0]
	own, change := c.beginWrite(w)
	require.Nil(t, change)
	require.Empty(t, own)
	require.NoError(t, out.ctx.Err())

	lift := c.block(w.ranges)
	require.Nil(t, c.begin("bb"), "in a range that is being written")
	require.NotNil(t, c.begin("e"))
	lift()
	require.NotNil(t, c.begin("bb"))
}

// TestCacheForgetsCooldowns: a cooldown is the time after a release in which the client does not
// acquire the key again. The cache removes cooldowns that are over.
func TestCacheForgetsCooldowns(t *testing.T) {
	c := newEpoch(t)
	for i := range 3 * cleanUpEvery {
		key := fmt.Sprint(i)
		c.end(ownIn(t, c, key, "v", 5))
		c.cooldowns.ends[key] = time.Now().Add(-maxPause)
	}
	require.LessOrEqual(t, len(c.cooldowns.ends), cleanUpEvery)
}

// TestCooldownsOfARange: after a client has released a key, the key has a cooldown, in which the
// client does not acquire it again. If another client asks for the key soon after its cooldown,
// that client probably writes a range. So all keys with recent cooldowns get a longer cooldown.
func TestCooldownsOfARange(t *testing.T) {
	for name, c := range map[string]struct {
		pause      time.Duration // between the two cooldowns of r/2
		isAskedFor bool
		waits      bool // r/1 has a cooldown again, together with r/2
	}{
		"asked for soon":   {pause: 2 * time.Second, isAskedFor: true, waits: true},
		"asked for later":  {pause: maxCooldown + maxPause, isAskedFor: true},
		"owned by another": {pause: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cooldowns := &cooldowns{ends: map[string]time.Time{}}
				cooldowns.start("old", true)
				time.Sleep(maxCooldown + maxPause)
				cooldowns.start("r/1", true)
				cooldowns.start("r/2", true)
				time.Sleep(c.pause)
				require.False(t, cooldowns.isActive("r/1"))
				cooldowns.start("r/2", c.isAskedFor)
				require.True(t, cooldowns.isActive("r/2"))
				require.Equal(t, c.waits, cooldowns.isActive("r/1"))
				require.False(t, cooldowns.isActive("old"))
				require.False(t, cooldowns.isActive("new"))
				time.Sleep(maxCooldown)
				require.Equal(t, c.waits, cooldowns.isActive("r/2"))
				time.Sleep(maxPause - maxCooldown)
				require.False(t, cooldowns.isActive("r/1"))
				require.False(t, cooldowns.isActive("r/2"))
			})
		})
	}
}
