// Command metrics counts and times every request of a client with Prometheus, through interceptors
// in Config.DialOptions.
//
// It puts and gets a key on the servers that ETCD_ENDPOINTS names, separated by commas, or on
// 127.0.0.1:2379, and prints what a scrape would read.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	endpoints := strings.Split(os.Getenv("ETCD_ENDPOINTS"), ",")
	if endpoints[0] == "" {
		endpoints = []string{"127.0.0.1:2379"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout, endpoints); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

// run makes two requests with a measured client and prints the metrics in the text format of
// Prometheus.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	registry := prometheus.NewRegistry()
	client, err := measured(clientv3.Config{Endpoints: endpoints}, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if _, err := client.Put(ctx, "metrics/key", "value"); err != nil {
		return err
	}
	if _, err := client.Get(ctx, "metrics/key"); err != nil {
		return err
	}
	return print(out, registry)
}

// measured makes a client whose attempts, the repeated ones too, are counted and timed in registry.
// The interceptors run in addition to those that cfg already has.
func measured(cfg clientv3.Config, registry prometheus.Registerer) (*clientv3.Client, error) {
	metrics := grpcprom.NewClientMetrics()
	metrics.EnableClientHandlingTimeHistogram()
	if err := registry.Register(metrics); err != nil {
		return nil, err
	}
	cfg.DialOptions = append(cfg.DialOptions,
		grpc.WithChainUnaryInterceptor(metrics.UnaryClientInterceptor()),
		grpc.WithChainStreamInterceptor(metrics.StreamClientInterceptor()),
	)
	return clientv3.New(cfg)
}

func print(out io.Writer, registry prometheus.Gatherer) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return err
		}
	}
	return nil
}
