package etcdtest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parentEnv is an environment variable. If it is set, the test binary starts a server, prints the
// server's process id and waits to be killed.
const parentEnv = "ETCDTEST_PARENT"

func runParent() {
	c, err := New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.Members()[0].process().cmd.Process.Pid)
	fmt.Println(c.dir)
	select {} // until it is killed
}

func TestServerDiesWithAKilledTest(t *testing.T) {
	parent := exec.Command(os.Args[0], "-test.run=^$")
	parent.Env = append(os.Environ(), parentEnv+"=1")
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the parent printed nothing")
	pid, err := strconv.Atoi(lines.Text())
	require.NoError(t, err)
	require.True(t, lines.Scan())
	dir := lines.Text()
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.True(t, alive(t, pid))

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.Eventually(t, func() bool {
		return !alive(t, pid)
	}, time.Minute, 10*time.Millisecond)
}

// alive reports whether the process exists and is no zombie.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	state, err := processState(pid)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	require.NoError(t, err)
	return state != 'Z' && state != 'X'
}

// The kernel kills a child when the thread ends that started it, so a server must not be started on
// the thread of its caller.
func TestServersOutliveTheThreadsOfTheirStarters(t *testing.T) {
	// Each starter has a thread of its own. One of them may be the main thread, which does not end,
	// so there are two starters.
	const starters = 2
	var locked, done sync.WaitGroup
	clusters := make([]*Cluster, starters)
	locked.Add(starters)
	for i := range starters {
		done.Go(func() { // ends when New returns; the test waits for it below
			runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
			locked.Done()
			locked.Wait()
			c, err := New()
			if err != nil {
				t.Error(err)
			}
			clusters[i] = c
		})
	}
	done.Wait()
	for _, c := range clusters {
		require.NotNil(t, c)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
	}
	for _, c := range clusters {
		putGet(t, c, "v")
		require.True(t, c.Members()[0].Running())
	}
}
