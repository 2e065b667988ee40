package etcdtest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Metrics returns the values of the member's metrics by name. A name includes the labels, as the
// member prints them, for example `grpc_server_handled_total{grpc_code="OK",grpc_method="Put",…}`.
// If the member does not answer, Metrics returns an error after 20 s.
func (m *Member) Metrics() (map[string]float64, error) { return m.metrics(context.Background()) }

func (m *Member) metrics(ctx context.Context) (map[string]float64, error) {
	text, err := m.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("etcdtest: metrics of %s: %w", m.name, err)
	}
	return parseMetrics(text)
}

// Metric returns the sum of all metrics whose name and labels contain all parts. An example is
// Metric("grpc_server_handled_total", `grpc_method="Authenticate"`). If there is no such metric,
// Metric returns an error. Otherwise a mistyped name would look like a count of zero.
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
// for example OpenStreams("Watch"). It does not count the method Watch of gRPC's health service.
func (m *Member) OpenStreams(method string) (int, error) {
	labels := []string{fmt.Sprintf("grpc_method=%q", method), `grpc_service="etcdserverpb.`}
	started, err := m.Metric(append(labels, "grpc_server_started_total{")...)
	if err != nil {
		return 0, err
	}
	handled, err := m.Metric(append(labels, "grpc_server_handled_total{")...)
	return int(started - handled), err
}

// parseMetrics parses Prometheus's text format without timestamps, which etcd prints.
func parseMetrics(text []byte) (map[string]float64, error) {
	out := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		// The number begins after the last space. A label's value may contain spaces, too.
		cut := strings.LastIndexByte(line, ' ') + 1
		value, err := strconv.ParseFloat(line[cut:], 64)
		if err != nil || cut == 0 {
			return nil, fmt.Errorf("etcdtest: metrics line %q has no value", line)
		}
		out[strings.TrimSpace(line[:cut])] = value
	}
	return out, nil
}
