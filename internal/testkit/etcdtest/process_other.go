//go:build !linux

package etcdtest

import "syscall"

// dieWithParent has no counterpart here: a server outlives a test process that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }

// isStopped returns true: nothing tells here whether a process has stopped, so a signal that was
// sent counts as one that has taken effect.
func isStopped(int) (bool, error) { return true, nil }
