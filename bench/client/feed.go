package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// feeders is the number of callers that write the watched keys.
const feeders = 4

// feed writes n keys in one transaction, over and over. The workload live watches these keys.
func feed(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	keys := make([]string, s.n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s%03d", livePrefix(s.n), i)
	}
	return closedLoop(ctx, s, feeders, func(ctx context.Context, _ int) error {
		if err := putAll(ctx, c, keys, value); err != nil {
			return err
		}
		return pause(ctx, s.pace)
	})
}

// feedWatchers writes the keys of n watches in turn.
func feedWatchers(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	var next atomic.Int64
	return closedLoop(ctx, s, feeders, func(ctx context.Context, _ int) error {
		return c.put(ctx, manyKey(int(next.Add(1))%s.n), value)
	})
}

// fillBatch is the number of keys in each transaction of the workload "fill"; etcd allows 128 by
// default.
const fillBatch = 100

// fill writes n keys. The workloads "range", "range-100" and so on read these keys.
func fill(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	text := strings.Repeat("v", s.size)
	for first := 0; first < s.n; first += fillBatch {
		var keys []string
		for i := first; i < min(first+fillBatch, s.n); i++ {
			keys = append(keys, fmt.Sprintf("range/%d/%d/%08d", s.n, s.size, i))
		}
		if err := putAll(ctx, c, keys, text); err != nil {
			return figures.Sample{}, err
		}
	}
	return figures.Sample{Ops: s.n}, nil
}

// putAll puts the keys at one revision.
func putAll(ctx context.Context, c connection, keys []string, value string) error {
	stub, ok := c.(viaStub)
	if !ok {
		return fmt.Errorf("keys for others are written with -via stub")
	}
	req := &pb.TxnRequest{}
	for _, key := range keys {
		req.Success = append(req.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}})
	}
	_, err := stub.kv.Txn(ctx, req)
	return err
}
