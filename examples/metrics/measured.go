package main

import (
	providerprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	grpcprom "github.com/grpc-ecosystem/go-grpc-prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// measurer makes a client whose calls are counted and timed in registry. If the client retries a
// request, each attempt counts. The interceptors run in addition to those that cfg already has.
type measurer func(cfg clientv3.Config, registry prometheus.Registerer) (*clientv3.Client, error)

// measured makes a client with metrics from go-grpc-prometheus. It is a [measurer].
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

// measuredBySuccessor makes a client with metrics from go-grpc-middleware, the successor of
// go-grpc-prometheus. The metrics of both have the same names and labels.
func measuredBySuccessor(
	cfg clientv3.Config, registry prometheus.Registerer,
) (*clientv3.Client, error) {
	metrics := providerprom.NewClientMetrics(providerprom.WithClientHandlingTimeHistogram())
	if err := registry.Register(metrics); err != nil {
		return nil, err
	}
	cfg.DialOptions = append(cfg.DialOptions,
		grpc.WithChainUnaryInterceptor(metrics.UnaryClientInterceptor()),
		grpc.WithChainStreamInterceptor(metrics.StreamClientInterceptor()),
	)
	return clientv3.New(cfg)
}
