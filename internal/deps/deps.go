// Package deps keeps the module's requirements while packages are being added.
package deps

import (
	_ "github.com/coreos/go-semver/semver"
	_ "github.com/stretchr/testify/assert"
	_ "github.com/stretchr/testify/require"
	_ "go.etcd.io/etcd/api/v3/etcdserverpb"
	_ "go.etcd.io/etcd/client/pkg/v3/transport"
	_ "go.uber.org/goleak"
	_ "go.uber.org/zap"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/health"
	_ "google.golang.org/grpc/test/bufconn"
	_ "sigs.k8s.io/yaml"
)
