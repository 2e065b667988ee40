package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end after SIGTERM.
const stopGrace = 10 * time.Second

var errExited = errors.New("the process has exited")

// process is one run of the etcd binary. Its methods are safe for concurrent use.
type process struct {
	// read-only after startProcess
	cmd *exec.Cmd
	// This context ends when the process ends. Its cause wraps errExited and has the process's exit
	// status.
	exited context.Context

	// safe for concurrent use
	end context.CancelCauseFunc
}

// startProcess runs bin with args in dir. It appends the process's output to the file logPath.
func startProcess(bin string, args []string, dir, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("etcdtest: log file: %w", err)
	}
	p := &process{cmd: exec.Command(bin, args...)}
	p.cmd.Dir, p.cmd.Env = dir, serverEnv()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithParent()
	p.exited, p.end = context.WithCancelCause(context.Background())

	started := make(chan error, 1) // run sends one value; the channel is never closed
	// The goroutine ends when the etcd process ends. Cluster.Close kills the etcd process, and the
	// method kill waits until the goroutine has cancelled p.exited.
	go p.run(log, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("etcdtest: start %s: %w", bin, err)
	}
	return p, nil
}

// run starts the process and waits for its end. It keeps its operating system thread until then,
// because Linux kills the process when the thread that started it ends.
func (p *process) run(log *os.File, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		err = p.cmd.Wait()
	}
	_ = log.Close() // the process has its own descriptor of the log
	p.end(fmt.Errorf("%w: %s", errExited, exitText(err)))
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func (p *process) running() bool { return p.exited.Err() == nil }

// kill ends the process as a crash would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only if the process has already ended
	<-p.exited.Done()
}

// terminate asks the process to end, waits until it is gone, and kills it if that takes too long.
func (p *process) terminate() error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil &&
		!errors.Is(err, os.ErrProcessDone) {
		p.kill()
		return fmt.Errorf("etcdtest: terminate process %d: %w", p.cmd.Process.Pid, err)
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.exited.Done():
		return nil
	case <-grace.C:
		p.kill()
		return fmt.Errorf(
			"etcdtest: process %d did not end within %v of its SIGTERM and was killed",
			p.cmd.Process.Pid, stopGrace)
	}
}
