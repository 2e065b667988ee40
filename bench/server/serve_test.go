package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The server must not outlive the program that started it.
func TestServerEndsWithItsInput(t *testing.T) {
	in, stop := io.Pipe()
	address, out := io.Pipe()
	done := make(chan error, 1)
	// Ends when in is closed. The test waits for that.
	go func() { done <- serve(context.Background(), "127.0.0.1:0", in, out) }()
	line, err := bufio.NewReader(address).ReadString('\n')
	require.NoError(t, err)
	conn, err := net.Dial("tcp", strings.TrimSpace(line))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, stop.Close())
	require.NoError(t, <-done)
}
