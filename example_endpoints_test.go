package clientv3_test

import clientv3 "go.etcd.io/etcd/client/v3"

// exampleEndpoints are those of the server that all examples share.
func exampleEndpoints() []string { return clientv3.ExampleCluster.Endpoints() }
