package canned

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func TestFilledTemplateIsTheResponse(t *testing.T) {
	now := time.Unix(7, 8)
	for _, events := range []int{1, 100} {
		first := revision + 12345
		var got pb.WatchResponse
		require.NoError(t, proto.Unmarshal(newTemplate(events).fill(77, first, now), &got))
		require.EqualValues(t, 77, got.WatchId)
		require.Equal(t, first+int64(events)-1, got.Header.Revision)
		require.Len(t, got.Events, events)
		for i, event := range got.Events {
			require.Equal(t, first+int64(i), event.Kv.ModRevision)
			require.Len(t, event.Kv.Value, valueSize)
			require.EqualValues(t, now.UnixNano(), binary.BigEndian.Uint64(event.Kv.Value))
		}
	}
}

func TestRangeKeysSayWhatIsAnswered(t *testing.T) {
	for _, test := range []struct {
		key     string
		n, size int
	}{
		{"range/3/10/", 3, 10},
		{"range/0/10/", 0, 10},
		{"a key", 1, valueSize},
	} {
		var r ranges
		answer, err := r.lookup(test.key)
		require.NoError(t, err)
		var got pb.RangeResponse
		require.NoError(t, proto.Unmarshal(answer, &got))
		require.Len(t, got.Kvs, test.n)
		for _, kv := range got.Kvs {
			require.Len(t, kv.Value, test.size)
		}
	}
	for _, key := range []string{"range/-1/10/", "range/1/-1/", "range/1000000000/1000000000/"} {
		_, err := new(ranges).lookup(key)
		require.ErrorContains(t, err, key)
	}
}
