package etcdtest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parentEnv makes the test binary start a server, print its process id and wait to be killed.
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
	require.Eventually(t, func() bool { return !alive(t, pid) }, 10*time.Second, 10*time.Millisecond)
}

// alive tells whether the process exists and is no zombie.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	state, err := processState(pid)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	require.NoError(t, err)
	return state != 'Z' && state != 'X'
}

// The kernel kills a child with the thread that started it, so the server must not be started on a caller's thread.
func TestServerOutlivesTheThreadOfItsStarter(t *testing.T) {
	started := make(chan *Cluster, 1)
	// Ends by itself once the cluster has started; the receive below waits for that.
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		c, err := New()
		if err != nil {
			t.Error(err)
		}
		started <- c
	}()
	c := <-started
	require.NotNil(t, c)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	for range 20 { // threads come and go meanwhile
		done := make(chan struct{})
		go func() { // ends by itself at once; waited for on done
			defer close(done)
			runtime.LockOSThread()
		}()
		<-done
	}
	putGet(t, c, "v")
	require.True(t, c.Members()[0].Running())
}
