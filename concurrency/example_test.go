package concurrency_test

import "go.etcd.io/etcd/client/v3/concurrency"

func exampleEndpoints() []string { return concurrency.SharedEndpoints() }
