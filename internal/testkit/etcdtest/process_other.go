//go:build !linux

package etcdtest

import "syscall"

// dieWithParent has no counterpart here: a server outlives a test process that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

// isStopped takes the signal's delivery for the stop.
func isStopped(int) (bool, error) { return true, nil }
