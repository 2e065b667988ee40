//go:build !linux

package etcdtest

const parentEnv = "ETCDTEST_PARENT"

func runParent() {}
