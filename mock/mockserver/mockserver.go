// Package mockserver starts gRPC servers for tests of connections, balancing and endpoints. They
// answer an etcd client's requests about keys and leases with empty messages: nothing is stored,
// and headers are missing. They end keepalive streams at once, and have no other services. Package
// etcdfake is a server that answers as etcd does.
//
//	servers, err := mockserver.StartMockServers(3)
//	defer servers.Stop()
//	client, err := clientv3.New(clientv3.Config{Endpoints: []string{servers.Servers[0].Address}})
package mockserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// MockServer is one server of a [MockServers].
type MockServer struct {
	// Network is "tcp" or "unix".
	Network string
	// Address is the address on which the server listens, "host:port" or the path of a socket. It
	// stays the same when the server is stopped and started again.
	Address string
	// GRPCServer is the running server, nil while it is stopped.
	GRPCServer *grpc.Server

	served *sync.WaitGroup // of Serve; nil if StartAt did not start the server
}

// ResolverAddress returns the server's address for a gRPC resolver.
func (ms *MockServer) ResolverAddress() resolver.Address {
	if ms.Network == "unix" {
		return resolver.Address{Addr: "unix://" + ms.Address}
	}
	return resolver.Address{Addr: ms.Address}
}

// MockServers is a set of servers that are started and stopped one by one. Its methods are safe for
// concurrent use; read the fields only while no method runs. The caller of a Start function calls
// Stop.
type MockServers struct {
	// Servers has all servers, including the stopped ones.
	Servers []*MockServer

	mu sync.Mutex // guards GRPCServer and served of each server
}

// StartMockServers starts count servers on loopback TCP ports.
func StartMockServers(count int) (ms *MockServers, err error) {
	return StartMockServersOnNetwork(count, "tcp")
}

// StartMockServersOnNetwork starts count servers on a network: "tcp" for loopback ports, "unix" for
// sockets in the directory for temporary files. If a server cannot listen, the others are
// stopped and StartMockServersOnNetwork returns an error.
func StartMockServersOnNetwork(count int, network string) (ms *MockServers, err error) {
	ms = &MockServers{}
	for idx := range count {
		address, err := newAddress(network)
		if err == nil {
			ms.Servers = append(ms.Servers, &MockServer{Network: network, Address: address})
			err = ms.StartAt(idx)
		}
		if err != nil {
			ms.Stop()
			return nil, err
		}
	}
	return ms, nil
}

// newAddress returns an address on which a new server can listen.
func newAddress(network string) (string, error) {
	switch network {
	case "tcp":
		return "127.0.0.1:0", nil
	case "unix":
		f, err := os.CreateTemp("", "etcd-mock-*.sock")
		if err != nil {
			return "", fmt.Errorf("mockserver: name for a socket: %w", err)
		}
		return f.Name(), errors.Join(f.Close(), os.Remove(f.Name()))
	default:
		return "", fmt.Errorf("mockserver: unsupported network %q", network)
	}
}

// StartAt starts a stopped server again, on the same address. idx counts from 0. It is an error if
// the server runs.
func (ms *MockServers) StartAt(idx int) (err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if idx < 0 || idx >= len(ms.Servers) {
		return fmt.Errorf("mockserver: no server %d among %d", idx, len(ms.Servers))
	}
	server := ms.Servers[idx]
	if server.GRPCServer != nil {
		return fmt.Errorf("mockserver: server %d on %s is running", idx, server.Address)
	}
	listener, err := net.Listen(server.Network, server.Address)
	if err != nil {
		return fmt.Errorf("mockserver: server %d: %w", idx, err)
	}
	server.Address = listener.Addr().String()
	grpcServer := grpc.NewServer(grpc.UnknownServiceHandler(serve))
	server.GRPCServer = grpcServer
	server.served = &sync.WaitGroup{}
	// Ends with GRPCServer.Stop, which StopAt calls; StopAt waits.
	server.served.Go(func() { _ = grpcServer.Serve(listener) })
	return nil
}

// StopAt stops a server: its connections are closed and its requests end with errors. It does
// nothing if the server is stopped or does not exist.
func (ms *MockServers) StopAt(idx int) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if idx < 0 || idx >= len(ms.Servers) || ms.Servers[idx].GRPCServer == nil {
		return
	}
	server := ms.Servers[idx]
	server.GRPCServer.Stop()
	server.GRPCServer = nil
	if server.served != nil {
		server.served.Wait() // Serve closes the listener, if Stop comes before it has begun
	}
}

// Stop stops all servers and waits for their end. They can be started again. Stop may be repeated.
func (ms *MockServers) Stop() {
	for idx := range ms.Servers {
		ms.StopAt(idx)
	}
}
