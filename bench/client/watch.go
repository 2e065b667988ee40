package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

const (
	// floodEvents is how many events each watch of the workload flood gets.
	floodEvents = 20_000

	// pacedRate is how many responses a second a paced watch gets.
	pacedRate = 1000
)

// flood measures watches whose responses have n events each and are sent as fast as the client
// reads them. One operation of the returned sample is one event.
func flood(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	if _, err := floods(ctx, c, s.n, s.warm); err != nil {
		return figures.Sample{}, err
	}
	m := newMeter()
	events, err := floods(ctx, c, s.n, s.length)
	if err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(events)
	addMemory(&sample)
	return sample, nil
}

// floods opens one watch after another until the time length is over, but at least one. It returns
// how many events have arrived.
func floods(ctx context.Context, c connection, n int, length time.Duration) (int, error) {
	count := max(floodEvents/n, 1)
	prefix := fmt.Sprintf("watch/%d/%d/0/", n, count)
	total := 0
	for end := time.Now().Add(length); total == 0 || time.Now().Before(end); {
		events, err := watchFor(ctx, c, prefix, count*n, func([]byte) {})
		if err != nil {
			return 0, err
		}
		total += events
	}
	return total, nil
}

// watchFor watches until as many events have arrived as the parameter want says. It calls arrived
// with the first value of each response.
func watchFor(
	ctx context.Context, c connection, prefix string, want int, arrived func(value []byte),
) (int, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	got := 0
	err := c.watch(watching, prefix, func(events int, value []byte) {
		got += events
		arrived(value)
		if got >= want {
			cancel()
		}
	})
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && got != want {
		err = fmt.Errorf("%d events instead of %d with the prefix %q", got, want, prefix)
	}
	return got, err
}

// paced measures a watch whose responses have n events each and are sent at a constant rate. One
// operation of the returned sample is one event. A latency is the time from the server to the
// reader.
func paced(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	if _, err := floods(ctx, c, s.n, s.warm); err != nil {
		return figures.Sample{}, err
	}
	count := max(int(s.length.Seconds()*pacedRate), 1)
	latencies := make([]time.Duration, 0, count)
	m := newMeter()
	events, err := watchFor(ctx, c, fmt.Sprintf("watch/%d/%d/%d/", s.n, count, pacedRate),
		count*s.n, func(value []byte) {
			sent := time.Unix(0, int64(binary.BigEndian.Uint64(value)))
			latencies = append(latencies, time.Since(sent))
		})
	if err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(events)
	addLatencies(&sample, latencies)
	addMemory(&sample)
	return sample, nil
}
