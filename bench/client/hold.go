package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// idle measures the memory of a client that has been used once.
func idle(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	if err := c.get(ctx, "a key"); err != nil {
		return figures.Sample{}, err
	}
	m := newMeter()
	if err := pause(ctx, s.length); err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(1)
	addMemory(&sample)
	return sample, nil
}

// hold measures the memory of a client whose program holds one range of n keys.
func hold(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	m := newMeter()
	before := time.Now()
	kvs, err := listAll(ctx, c, fmt.Sprintf("range/%d/%d/", s.n, s.size), s.n)
	if err != nil {
		return figures.Sample{}, err
	}
	took := time.Since(before)
	sample := m.sample(1)
	addLatencies(&sample, []time.Duration{took})
	addMemory(&sample)
	runtime.KeepAlive(kvs)
	return sample, nil
}
