package watch_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestManySmallEventsOfThePastAreDelivered: a watch starts at a past revision and receives the
// hundred thousand small events that were written after it. If a client asked for fragments, etcd
// would need minutes to cut the responses, because it computes the size of a fragment anew for each
// event in it.
func TestManySmallEventsOfThePastAreDelivered(t *testing.T) {
	const revisions, each = 1000, 100
	writer := testclient.Open(t, shared.Cluster())
	first := put(t, writer, "small", "") + 1
	value := string(bytes.Repeat([]byte{'x'}, 40))
	ops := make([]clientv3.Op, each)
	for i := range ops {
		ops[i] = clientv3.OpPut(fmt.Sprintf("small/%02d", i), value)
	}
	concurrently(16, revisions, func(int) {
		_, err := writer.Txn(t.Context()).Then(ops...).Commit()
		assert.NoError(t, err)
	})
	c := testclient.Open(t, shared.Cluster())
	ch := c.Watch(t.Context(), "small/", clientv3.WithPrefix(), clientv3.WithRev(first))
	sibling := c.Watch(t.Context(), "sibling of small")
	for got := 0; got < revisions*each; {
		wr := nextResponse(t, ch)
		require.NoError(t, wr.Err())
		got += len(wr.Events)
	}
	put(t, writer, "sibling of small", "1")
	requireEvents(t, sibling)
}
