package main

import (
	"bufio"
	"context"
	"io"
	"net"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// splitter is a listener for connections that speak HTTP/1. It forwards all other connections to
// the cluster's member.
type splitter struct {
	net.Listener
	cluster *etcdfake.Cluster
	http    chan net.Conn
}

// Accept returns the next connection that speaks HTTP/1.
func (s *splitter) Accept() (net.Conn, error) {
	conn, ok := <-s.http
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (s *splitter) run() {
	defer close(s.http)
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return
		}
		// This goroutine ends with the connection. The process does not wait for it.
		go s.sort(conn)
	}
}

// peeked is a connection whose first bytes were already read into r.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

func (s *splitter) sort(conn net.Conn) {
	p := peeked{conn, bufio.NewReader(conn)}
	if start, err := p.r.Peek(3); err == nil && string(start) == "GET" {
		s.http <- p
		return
	}
	defer func() { _ = conn.Close() }() // the client learns from this that the connection has ended
	member, err := s.cluster.Dialer()(context.Background(), s.cluster.Endpoints()[0])
	if err != nil {
		return
	}
	// This goroutine ends with the connection. The process does not wait for it.
	go func() {
		_, _ = io.Copy(member, p)
		_ = member.Close()
	}()
	_, _ = io.Copy(conn, member)
}
