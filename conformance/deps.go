//go:build deps

package conformance

// What the tests import, so that go mod tidy keeps the requirements: packages that hold nothing but
// tests cannot be imported.
import (
	_ "go.etcd.io/etcd/etcdutl/v3/snapshot"
	_ "go.etcd.io/etcd/pkg/v3/expect"
	_ "go.etcd.io/etcd/tests/v3/framework/integration"
)
