//go:build unix

package linearizability

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// ready is the Op in the first line that a client process writes, when the process has a KV.
const ready = "ready"

// jobVariable is the environment variable that makes the test binary a client process.
const jobVariable = "LEASING_CLIENT"

func TestMain(m *testing.M) {
	if spec := os.Getenv(jobVariable); spec != "" {
		if err := runClient(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// process is a client process, as the test sees it.
type process struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin *json.Encoder
	close func() error  // closes the standard input
	order order         // the last order sent
	ready chan struct{} // closed when the process has a leasing KV
	done  chan struct{} // closed when all its output was read

	// written before done is closed
	events  []event
	summary summary
	err     error
}

// start starts a client process, and kills it at the end of the test if it still runs.
func start(tb testing.TB, j job) *process {
	tb.Helper()
	spec, err := json.Marshal(j)
	require.NoError(tb, err)
	p := &process{tb: tb, cmd: exec.Command(os.Args[0]), ready: make(chan struct{}),
		done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), jobVariable+"="+string(spec))
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	require.NoError(tb, err)
	p.stdin, p.close = json.NewEncoder(stdin), stdin.Close
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, p.cmd.Start())
	// Ends with the process, which the clean-up kills and waits for.
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && p.err == nil {
			p.err = p.take(lines.Bytes())
		}
	}()
	tb.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails if it has ended
		<-p.done
		_ = p.cmd.Wait()
	})
	return p
}

// take handles one line of the process's output.
func (p *process) take(line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	switch e.Op {
	case "":
		return json.Unmarshal(line, &p.summary)
	case ready:
		close(p.ready)
		return nil
	}
	p.events = append(p.events, e)
	return nil
}

// waitReady waits until the process has a leasing KV. A test must not stop the process before that.
func (p *process) waitReady() {
	select {
	case <-p.ready:
	case <-p.done:
		require.FailNow(p.tb, "a client process has ended")
	case <-time.After(30 * time.Second):
		require.FailNow(p.tb, "a client process makes no KV")
	}
}

// send sends the process an order.
func (p *process) send(o order) {
	p.order = o
	require.NoError(p.tb, p.stdin.Encode(o))
}

// finish ends the process, and returns its events.
func (p *process) finish() ([]event, summary) {
	require.NoError(p.tb, p.close())
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		require.FailNow(p.tb, "a client process does not end")
	}
	require.NoError(p.tb, p.err)
	return p.events, p.summary
}

// readEagerly tells the process to start or to stop reading in a tight loop (order.Eager).
func (p *process) readEagerly(eager bool) { p.send(order{Keys: p.order.Keys, Eager: eager}) }

func (p *process) signal(sig syscall.Signal) { require.NoError(p.tb, p.cmd.Process.Signal(sig)) }
