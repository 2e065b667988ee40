package cache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompactKeepsKeysAndValues moves pairs of all sizes, some larger than a chunk, and shows that
// none of them changes and that an append to one does not reach the next.
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
