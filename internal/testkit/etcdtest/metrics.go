package etcdtest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Metrics returns the member's metrics by name and labels as the member prints them, for example
// `grpc_server_handled_total{grpc_code="OK",grpc_method="Put",…}`. It waits at most 20 s for a
// member that does not answer.
func (m *Member) Metrics() (map[string]float64, error) { return m.metrics(context.Background()) }

func (m *Member) metrics(ctx context.Context) (map[string]float64, error) {
	text, err := m.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("etcdtest: metrics of %s: %w", m.name, err)
	}
	return parseMetrics(text)
}

// Metric returns the sum of the metrics whose name with its labels contains every part, for example
// Metric("grpc_server_handled_total", `grpc_method="Authenticate"`). No such metric is an error,
// since a mistyped name would otherwise pass for a count of zero.
func (m *Member) Metric(parts ...string) (float64, error) {
	all, err := m.Metrics()
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for name, value := range all {
		missing := func(part string) bool { return !strings.Contains(name, part) }
		if !slices.ContainsFunc(parts, missing) {
			sum, found = sum+value, true
		}
	}
	if !found {
		return 0, fmt.Errorf("etcdtest: %s has no metric with %q", m.name, parts)
	}
	return sum, nil
}

// OpenStreams returns how many streams or calls of a method of etcd's API are open at the member,
// for example OpenStreams("Watch"). The Watch of gRPC's health service does not count.
func (m *Member) OpenStreams(method string) (int, error) {
	labels := []string{fmt.Sprintf("grpc_method=%q", method), `grpc_service="etcdserverpb.`}
	started, err := m.Metric(append(labels, "grpc_server_started_total{")...)
	if err != nil {
		return 0, err
	}
	handled, err := m.Metric(append(labels, "grpc_server_handled_total{")...)
	return int(started - handled), err
}

// parseMetrics reads the text exposition format without timestamps, which is what etcd prints.
func parseMetrics(text []byte) (map[string]float64, error) {
	out := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		// A label's value may hold spaces, the number does not.
		cut := strings.LastIndexByte(line, ' ') + 1
		value, err := strconv.ParseFloat(line[cut:], 64)
		if err != nil || cut == 0 {
			return nil, fmt.Errorf("etcdtest: metrics line %q has no value", line)
		}
		out[strings.TrimSpace(line[:cut])] = value
	}
	return out, nil
}
