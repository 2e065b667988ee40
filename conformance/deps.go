//go:build deps

package conformance

// These imports make go mod tidy keep the modules that the etcd project's tests need. The packages
// of those tests cannot be imported here instead, because they consist of test files only.
import (
	_ "go.etcd.io/etcd/etcdutl/v3/snapshot"
	_ "go.etcd.io/etcd/pkg/v3/expect"
	_ "go.etcd.io/etcd/tests/v3/framework/integration"
)
