// Command fakeserver replaces etcd's binary in tests. It is one member, made by etcdfake, and
// accepts the flags that etcdtest passes to etcd. Clients talk to it over TCP. On the same port, it
// answers HTTP requests that ask whether it is ready.
//
// It runs until it is killed. Its data is lost then.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// settings holds the values of those etcd flags that this program supports. The program ignores
// other flags.
type settings struct {
	client, peer string
	opts         []etcdfake.Option
}

func main() {
	s, err := parse(os.Args[1:])
	if err == nil {
		err = serve(s)
	}
	log.Fatal(err)
}

func parse(args []string) (settings, error) {
	var s settings
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if err := s.set(name, value); err != nil {
			return s, fmt.Errorf("--%s=%s: %w", name, value, err)
		}
	}
	return s, nil
}

func (s *settings) set(name, value string) (err error) {
	switch name {
	case "listen-client-urls":
		s.client, err = address(value)
	case "listen-peer-urls":
		s.peer, err = address(value)
	case "auth-token-ttl":
		var d time.Duration
		d, err = time.ParseDuration(value + "s")
		s.opts = append(s.opts, etcdfake.WithTokenTTL(d))
	case "election-timeout":
		var d time.Duration
		d, err = time.ParseDuration(value + "ms")
		s.opts = append(s.opts, etcdfake.WithElectionTimeout(d))
	case "watch-progress-notify-interval":
		var d time.Duration
		d, err = time.ParseDuration(value)
		s.opts = append(s.opts, etcdfake.WithProgressInterval(d))
	}
	return err
}

func address(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" {
		return "", errors.New("only http is served")
	}
	return u.Host, nil
}

func serve(s settings) error {
	c := etcdfake.New(stderr{}, s.opts...)
	mux := http.NewServeMux()
	mux.HandleFunc("/version", say(`{"etcdcluster":"3.7.0"}`))
	mux.HandleFunc("/health", say(`{"health":"true"}`))
	mux.HandleFunc("/metrics", say(fmt.Sprintf("etcd_server_id{server_id=\"%x\"} 1\n"+
		"etcd_server_is_leader 1\n", c.Member(0).ID())))
	peers, err := net.Listen("tcp", s.peer)
	if err != nil {
		return err
	}
	clients, err := net.Listen("tcp", s.client)
	if err != nil {
		return err
	}
	split := &splitter{Listener: clients, cluster: c, http: make(chan net.Conn)}
	// This goroutine ends with the process, which does not wait for it.
	go split.run()
	// This goroutine ends with the process, which does not wait for it.
	go func() { log.Fatal(http.Serve(peers, mux)) }()
	return http.Serve(split, mux)
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }
}

// stderr is the testing.TB that the fake cluster gets. It logs to standard error. An error that the
// cluster reports ends the process.
type stderr struct{ testing.TB }

func (stderr) Helper()                        {}
func (stderr) Cleanup(func())                 {}
func (stderr) Failed() bool                   { return false }
func (stderr) Log(args ...any)                { log.Print(args...) }
func (stderr) Error(args ...any)              { log.Fatal(args...) }
func (stderr) Errorf(format string, a ...any) { log.Fatalf(format, a...) }
func (stderr) Fatalf(format string, a ...any) { log.Fatalf(format, a...) }
