package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNothingIsAwaitedOfAnEndedCache shows that a watch stream does not wait for an answer to a
// request for progress after its cache has ended. The channel that it would wait on is closed, so
// the stream would spin.
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
