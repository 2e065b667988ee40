package etcdfake

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func BenchmarkPut(b *testing.B) {
	for name, opts := range map[string][]Option{"canned": {WithCanned()}, "stored": nil} {
		b.Run(name, func(b *testing.B) {
			kv := pb.NewKVClient(dial(b, Start(b, opts...)))
			ctx := testContext(b)
			req := &pb.PutRequest{Key: []byte("key"), Value: make([]byte, 64)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := kv.Put(ctx, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
