// Command metrics uses Prometheus to count and time every request of a client, and serves these
// metrics at /metrics. It does so by interceptors in Config.DialOptions. It works with
// go-grpc-prometheus and with its successor in go-grpc-middleware.
//
// With -demo it makes two requests with each library, reads its own /metrics, and prints the
// result.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

var (
	listen    = flag.String("listen", "127.0.0.1:9200", "where to serve /metrics")
	successor = flag.Bool("successor", true, "use go-grpc-middleware, not go-grpc-prometheus")
)

func main() { demo.Main(serve, scrapeBoth) }

// serve puts and gets a key every second, and serves the metrics, until ctx ends.
func serve(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	registry := prometheus.NewRegistry()
	newClient := measured
	if *successor {
		newClient = measuredBySuccessor
	}
	client, err := newClient(clientv3.Config{Endpoints: endpoints}, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	url, stop, err := serveMetrics(*listen, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	fmt.Fprintln(out, "serving", url)
	for {
		if err := putAndGet(ctx, client); err != nil && ctx.Err() == nil {
			fmt.Fprintln(out, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// scrapeBoth makes two requests with each library, and prints the library's counts of ended calls.
func scrapeBoth(ctx context.Context, out io.Writer, endpoints []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, library := range []struct {
		name     string
		measured measurer
	}{
		{"go-grpc-prometheus", measured},
		{"go-grpc-middleware/providers/prometheus", measuredBySuccessor},
	} {
		var page strings.Builder
		if err := scrape(ctx, &page, endpoints, library.measured); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s:\n", library.name)
		for line := range strings.Lines(page.String()) {
			if strings.HasPrefix(line, "grpc_client_handled_total{") {
				fmt.Fprint(out, "  ", line)
			}
		}
	}
	return nil
}

// scrape makes two requests with a client that newClient makes. It writes the page with the metrics
// of these requests to out.
func scrape(
	ctx context.Context, out io.Writer, endpoints []string, newClient measurer,
) (err error) {
	registry := prometheus.NewRegistry()
	client, err := newClient(clientv3.Config{Endpoints: endpoints}, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := putAndGet(ctx, client); err != nil {
		return err
	}
	url, stop, err := serveMetrics("127.0.0.1:0", registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return fetch(ctx, out, url)
}

func putAndGet(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := client.Put(ctx, "examples/metrics", "value"); err != nil {
		return err
	}
	_, err := client.Get(ctx, "examples/metrics")
	return err
}
