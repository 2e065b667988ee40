//go:build !linux

package etcdtest

import "syscall"

// dieWithParent returns nil, because this system cannot kill a child with its parent: a server
// keeps running if its test process is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

// isStopped always returns true, because this system does not show whether a process has stopped.
// So a process counts as stopped once the signal was sent.
func isStopped(int) (bool, error) { return true, nil }
