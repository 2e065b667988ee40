package etcdtest

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// dieWithParent makes the kernel kill the child process when the thread that started it ends. So
// the child also ends if the test process is killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// isStopped reports whether the kernel has stopped the process. That happens a moment after SIGSTOP
// was sent.
func isStopped(pid int) (bool, error) {
	state, err := processState(pid)
	return state == 'T', err
}

// processState reads the letter for a process's state. proc(5) documents the letters.
func processState(pid int) (byte, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The state follows the command's name, which is in parentheses and may contain any byte.
	state := bytes.LastIndexByte(stat, ')') + len(") ")
	if state >= len(stat) {
		return 0, fmt.Errorf("etcdtest: %s: %q", path, stat)
	}
	return stat[state], nil
}
