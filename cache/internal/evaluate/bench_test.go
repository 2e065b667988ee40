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
	k := evaluate.Keys{Tree: new(evaluate.Tree)}
	for n := range 10_000 {
		key := fmt.Sprintf("a/%06d", n)
		k.Tree.Set(key, &mvccpb.KeyValue{Key: []byte(key), Value: make([]byte, 256)})
	}
	req := &pb.RangeRequest{Key: []byte("a/"), RangeEnd: []byte("a0")}
	b.ReportAllocs()
	for b.Loop() {
		evaluate.Range(k, req)
	}
}
