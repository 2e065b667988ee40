package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingIsAwaitedOfAnEndedCache shows that a stream which has asked for a proof of progress
// does not wait for it once the cache has ended. The channel of an answered question is closed, so
// a stream that waited on it would not sleep at all.
func TestNothingIsAwaitedOfAnEndedCache(t *testing.T) {
	question := newReply()
	p := progressProof{since: time.Now(), later: time.Now(), reply: question}
	close(question.done)
	require.NotNil(t, p.answered())
	require.Zero(t, p.have(nil, &view{err: ErrTooLarge}))
	require.Nil(t, p.answered())
	p.want(time.Now())
	require.Zero(t, p.have(nil, &view{err: ErrTooLarge}))
	require.Nil(t, p.answered())
}
