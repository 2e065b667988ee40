package cache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompactKeepsKeysAndValues compacts pairs of all sizes. Some are larger than a chunk, the
// piece of memory that compact puts many pairs into. No pair changes, and an append to a key or
// value does not overwrite the bytes behind it.
func TestCompactKeepsKeysAndValues(t *testing.T) {
	var kvs []*pair
	for i := range 300 {
		kvs = append(kvs, &pair{Key: fmt.Appendf(nil, "key%d", i),
			Value: []byte(strings.Repeat("v", i*i%(2*chunkBytes)))})
	}
	kvs[0].Value, kvs[1].Value = nil, []byte{}
	compact(kvs)
	for i, kv := range kvs {
		_ = append(kv.Key, 'x')
		_ = append(kv.Value, 'x')
		require.Equal(t, fmt.Sprintf("key%d", i), string(kv.Key))
	}
	for i, kv := range kvs[2:] {
		require.Equal(t, strings.Repeat("v", (i+2)*(i+2)%(2*chunkBytes)), string(kv.Value))
	}
	require.Nil(t, kvs[0].Value)
	require.NotNil(t, kvs[1].Value)
}
