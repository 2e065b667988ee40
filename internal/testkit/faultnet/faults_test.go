package faultnet

import (
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBlackholeHoldsOneDirection(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	p.Blackhole(ToServer)
	write(t, client, "held")
	send(t, server, client, "passes")
	expectQuiet(t, server)
	p.Heal()
	expect(t, server, "held")
}

func TestBlackholeHidesTheEndOfConnections(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	p.Blackhole(ToServer)
	require.NoError(t, client.Close())
	write(t, server, "into the void") // answered by a reset, which is lost too
	expectQuiet(t, server)
	p.Heal()
	_, err := server.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, server.Close())
	require.Eventually(t, func() bool { return p.Conns() == 0 }, waitFor, tick)
}

func TestBlackholeSwallowsNewConnections(t *testing.T) {
	p, s := start(t)
	p.Blackhole(Both)
	client := dial(t, p)
	write(t, client, "hello")
	require.Eventually(t, func() bool { return p.Accepted() == 1 }, waitFor, tick)
	expectQuiet(t, client)
	assert.Empty(t, s.conns)
	p.Heal()
	server := <-s.conns
	defer server.Close()
	expect(t, server, "hello")
}

func TestDropLosesBytesAndHealResets(t *testing.T) {
	p, s := start(t)
	hit, hitServer := pair(t, p, s)
	spared, sparedServer := pair(t, p, s)
	p.Drop(ToClient)
	write(t, hitServer, "lost")
	expectQuiet(t, hit)
	send(t, hit, hitServer, "the other direction")
	p.Heal()
	_, err := hit.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	send(t, sparedServer, spared, "intact")
}

func TestPauseAndResume(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	p.Pause()
	write(t, client, "a")
	write(t, server, "b")
	expectQuiet(t, client)
	expectQuiet(t, server)
	p.Resume()
	expect(t, server, "a")
	expect(t, client, "b")
}

func TestPauseBlocksSenders(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	p.Pause()
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
	sent := 0
	for {
		n, err := client.Write(make([]byte, 1<<20))
		sent += n
		if err != nil {
			break
		}
		require.Less(t, sent, 64<<20, "a paused proxy must not go on reading")
	}
	p.Resume()
	_, err := io.ReadFull(server, make([]byte, sent))
	require.NoError(t, err)
}

func TestDelayIsLatencyNotThroughput(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	const d = 100 * time.Millisecond
	p.Delay(d)
	start := time.Now()
	for range 20 {
		write(t, client, "x")
		time.Sleep(time.Millisecond) // so that they are not one packet
	}
	expect(t, server, strings.Repeat("x", 20))
	took := time.Since(start)
	assert.GreaterOrEqual(t, took, d)
	assert.Less(t, took, 20*d, "delays must overlap")

	p.Delay(d)
	start = time.Now()
	send(t, client, server, "there")
	send(t, server, client, "and back")
	assert.GreaterOrEqual(t, time.Since(start), 2*d)
	p.Delay(time.Hour)
	write(t, client, "late")
	expectQuiet(t, server)
	p.Heal()
	expect(t, server, "late")
}

func TestThrottle(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	p.Throttle(10_000)
	start := time.Now()
	write(t, client, strings.Repeat("x", 3000))
	expect(t, server, strings.Repeat("x", 3000))
	assert.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond)
	p.Throttle(1)
	write(t, client, strings.Repeat("y", 1000))
	expectQuiet(t, client)
	p.Heal()
	expect(t, server, strings.Repeat("y", 1000))
}

func TestResetReachesBothSides(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	assert.Equal(t, 1, p.Reset())
	for _, conn := range []net.Conn{client, server} {
		_, err := conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	client, server = pair(t, p, s)
	send(t, client, server, "new connections work")
}

func TestResetOfOneSideIsForwarded(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	require.NoError(t, server.(*net.TCPConn).SetLinger(0))
	require.NoError(t, server.Close())
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestRefuse(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	p.Refuse()
	expectRefused(t, p)
	send(t, client, server, "open connections stay")
	assert.Equal(t, 2, p.Accepted())
	assert.Equal(t, 1, p.Conns())
	assert.Empty(t, s.conns)
	p.Heal()
	client, server = pair(t, p, s)
	send(t, client, server, "again")
}

func TestCutAfter(t *testing.T) {
	p, s := start(t)
	for n := range int64(5) {
		client, server := pair(t, p, s)
		p.CutAfter(ToClient, n+3)
		send(t, client, server, "the other direction does not count")
		write(t, server, "ab")
		write(t, server, "cdefghij")
		got, err := io.ReadAll(client)
		require.NoError(t, err)
		assert.Equal(t, "abcdefghij"[:n+3], string(got))
	}
	client, server := pair(t, p, s)
	send(t, server, client, "a cut is used up by one connection")
}

func TestFaultsUnderLoad(t *testing.T) {
	p, s := start(t)
	var echo sync.WaitGroup
	defer echo.Wait()
	const n = 20
	clients := make([]net.Conn, n)
	for i := range n {
		client, server := pair(t, p, s)
		clients[i] = client
		echo.Go(func() {
			defer server.Close()
			_, _ = io.Copy(server, server)
		})
	}
	var faults sync.WaitGroup
	for _, fault := range []func(){
		func() { p.Blackhole(ToServer) },
		func() { p.Delay(time.Millisecond) },
		func() { p.Throttle(1 << 20) },
		p.Pause, p.Resume, p.Heal,
	} {
		faults.Go(func() {
			for range 50 {
				fault()
			}
		})
	}
	for _, client := range clients {
		write(t, client, strings.Repeat("z", 10_000))
	}
	faults.Wait()
	p.Heal()
	for _, client := range clients {
		expect(t, client, strings.Repeat("z", 10_000))
		require.NoError(t, client.Close())
	}
}
