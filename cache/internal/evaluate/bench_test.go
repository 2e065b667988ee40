package evaluate_test

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/evaluate"
)

// BenchmarkRange lists 10,000 keys.
func BenchmarkRange(b *testing.B) {
	var k evaluate.Keys
	for n := range 10_000 {
		key := fmt.Appendf(nil, "a/%06d", n)
		k.Tree = k.Tree.Set(&mvccpb.KeyValue{Key: key, Value: make([]byte, 256)})
	}
	req := &pb.RangeRequest{Key: []byte("a/"), RangeEnd: []byte("a0")}
	b.ReportAllocs()
	for b.Loop() {
		evaluate.Range(k, req)
	}
}
