// Command server serves the canned answers of bench/internal/canned in a process of its own, so
// that its CPU does not count for the client that is measured. It prints its address, and ends
// when its standard input does or when it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"

	"go.etcd.io/etcd/client/v3/bench/internal/canned"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *listen, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// serve answers requests until ctx ends, or until the reader in returns an error or io.EOF.
func serve(ctx context.Context, address string, in io.Reader, out io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := canned.NewServer()
	defer context.AfterFunc(ctx, s.Stop)()
	// Ends when the reader in does. The process does not wait for this goroutine when it exits.
	go func() {
		_, _ = io.Copy(io.Discard, in)
		s.Stop()
	}()
	fmt.Fprintln(out, listener.Addr())
	return s.Serve(listener)
}
