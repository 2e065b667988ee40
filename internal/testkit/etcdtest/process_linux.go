package etcdtest

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// dieWithParent makes the kernel kill the child when the thread that started it ends, thus also
// when the test process is killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// isStopped reports whether the kernel has stopped the process, which happens a moment after the
// signal.
func isStopped(pid int) (bool, error) {
	state, err := processState(pid)
	return state == 'T', err
}

// processState reads the letter that proc(5) documents for a process's state.
func processState(pid int) (byte, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The state follows the command's name, which is in parentheses and may hold any byte.
	state := bytes.LastIndexByte(stat, ')') + len(") ")
	if state >= len(stat) {
		return 0, fmt.Errorf("etcdtest: %s: %q", path, stat)
	}
	return stat[state], nil
}
