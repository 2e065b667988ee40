// Package mockserver starts gRPC servers for tests of connections, balancing and endpoints. The
// servers answer an etcd client's requests about keys and leases with empty messages: they store
// nothing, and responses have no header. They end keepalive streams at once, and have no other
// services. Package etcdfake has a server that answers as etcd does.
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
	// Address is the address on which the server listens: "host:port", or the path of a socket. It
	// stays unchanged when the server is stopped and started again.
	Address string
	// GRPCServer is the running server, nil while it is stopped.
	GRPCServer *grpc.Server

	// served is done when GRPCServer.Serve has returned. It is nil if StartAt did not start the
	// server.
	served *sync.WaitGroup
}

// ResolverAddress returns the server's address in the form that gRPC resolvers use.
func (ms *MockServer) ResolverAddress() resolver.Address {
	if ms.Network == "unix" {
		return resolver.Address{Addr: "unix://" + ms.Address}
	}
	return resolver.Address{Addr: ms.Address}
}

// MockServers is a set of servers that can be started and stopped one by one. Its methods are safe
// for concurrent use. Read the fields only while no method runs. The caller of a Start function
// must call Stop.
type MockServers struct {
	// Servers has all servers, including the stopped ones.
	Servers []*MockServer

	mu sync.Mutex // guards GRPCServer and served of each server
}

// StartMockServers starts count servers on loopback TCP ports.
func StartMockServers(count int) (ms *MockServers, err error) {
	return StartMockServersOnNetwork(count, "tcp")
}

// StartMockServersOnNetwork starts count servers on a network: "tcp" for loopback ports, or "unix"
// for sockets in the directory for temporary files. If one server cannot listen,
// StartMockServersOnNetwork stops all others and returns an error.
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

// StartAt starts the stopped server Servers[idx] again, on its former address. It returns an error
// if there is no such server, if the server is running, or if it cannot listen.
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
	// The goroutine ends with GRPCServer.Stop. StopAt calls Stop and waits for the goroutine.
	server.served.Go(func() { _ = grpcServer.Serve(listener) })
	return nil
}

// StopAt stops the server Servers[idx]: its connections are closed and its requests end with
// errors. StopAt does nothing if the server is already stopped or idx is out of range.
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
		server.served.Wait() // waits for Serve, which closes the listener if Stop came before Serve
	}
}

// Stop stops all servers and waits until they have ended. StartAt can start them again. Stop may be
// called more than once.
func (ms *MockServers) Stop() {
	for idx := range ms.Servers {
		ms.StopAt(idx)
	}
}
