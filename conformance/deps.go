//go:build deps

package conformance

// The module whose tests are run, so that go mod tidy keeps the requirement: packages that hold nothing but tests cannot be imported.
import _ "go.etcd.io/etcd/tests/v3/framework/integration"
