package main

import (
	providerprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	grpcprom "github.com/grpc-ecosystem/go-grpc-prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// measurer makes a client whose attempts, the repeated ones too, are counted and timed in registry.
// The interceptors run in addition to those that cfg already has.
type measurer func(cfg clientv3.Config, registry prometheus.Registerer) (*clientv3.Client, error)

// measured uses go-grpc-prometheus.
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

// measuredBySuccessor uses go-grpc-middleware, whose metrics have the same names and labels.
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
