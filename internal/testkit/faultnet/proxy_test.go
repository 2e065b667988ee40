package faultnet

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestForwardsAndCounts(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	send(t, client, server, "question")
	send(t, server, client, "yes")
	assert.Equal(t, 1, p.Conns())
	assert.Equal(t, 1, p.Accepted())
	require.Eventually(t, func() bool { return p.Bytes(Both) == 11 }, waitFor, tick)
	assert.Equal(t, int64(8), p.Bytes(ToServer))
	assert.Equal(t, int64(3), p.Bytes(ToClient))
}

func TestEndOfConnectionIsForwarded(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	_, err := server.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	send(t, server, client, "still here")
	require.NoError(t, server.Close())
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Eventually(t, func() bool { return p.Conns() == 0 }, waitFor, tick)
}

func TestLargeTransferIsIntact(t *testing.T) {
	p, s := start(t)
	client, server := pair(t, p, s)
	data := make([]byte, 8<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	var sender sync.WaitGroup
	sender.Go(func() {
		_, err := client.Write(data)
		assert.NoError(t, err)
	})
	got := make([]byte, len(data))
	_, err := io.ReadFull(server, got)
	require.NoError(t, err)
	sender.Wait()
	assert.True(t, bytes.Equal(data, got))
}

func TestHundredsOfConnections(t *testing.T) {
	p, s := start(t)
	const n = 300
	clients, servers := make([]net.Conn, n), make([]net.Conn, n)
	for i := range n {
		clients[i], servers[i] = pair(t, p, s)
	}
	p.Blackhole(ToServer)
	for i := range n {
		write(t, clients[i], "x")
	}
	assert.Zero(t, p.Bytes(ToServer))
	p.Heal()
	for i := range n {
		expect(t, servers[i], "x")
	}
	assert.Equal(t, n, p.Conns())
	assert.Equal(t, n, p.Accepted())
	assert.Equal(t, n, p.Reset())
	for i := range n {
		_, err := clients[i].Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	assert.Zero(t, p.Conns())
}

func TestTargetThatIsDown(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := lis.Addr().String()
	require.NoError(t, lis.Close())
	p := New(t, addr)
	expectRefused(t, p)
	s := newTarget(t, addr)
	client, server := pair(t, p, s)
	send(t, client, server, "up")
}

func TestCloseEndsEverything(t *testing.T) {
	s := newTarget(t, "127.0.0.1:0")
	p := New(t, s.addr)
	client, server := pair(t, p, s)
	send(t, client, server, "x")
	p.Pause()
	waiting := dial(t, p)
	require.Eventually(t, func() bool { return p.Conns() == 2 }, waitFor, tick)
	p.Close()
	p.Close()
	for _, conn := range []net.Conn{client, server, waiting} {
		require.NoError(t, conn.SetDeadline(time.Now().Add(waitFor)))
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
		assert.NotErrorIs(t, err, syscall.ETIMEDOUT)
	}
	_, err := net.DialTimeout("tcp", p.Addr(), waitFor)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
