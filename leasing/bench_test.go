package leasing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkGetFromMemory reads a cached key.
func BenchmarkGetFromMemory(b *testing.B) {
	for _, size := range []int{16, 1024, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			kv := newKV(b, plainClient(b))
			put(b, kv, "k", strings.Repeat("v", size))
			value(b, kv, "k")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := kv.Get(b.Context(), "k"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGetFromMemoryParallel reads a cached key on all processors.
func BenchmarkGetFromMemoryParallel(b *testing.B) {
	kv := newKV(b, plainClient(b))
	put(b, kv, "k", "v")
	value(b, kv, "k")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := kv.Get(b.Context(), "k"); err != nil {
				b.Error(err)
			}
		}
	})
	require.NotEmpty(b, kv.cache.ownerships)
}
