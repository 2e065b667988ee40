// Command quickstart shows the client's main job on a real etcd and checks every answer.
//
// It starts an etcd server of its own (bin/etcd, which `make etcd` builds) in a temporary directory
// on a free loopback port and stops it in the end. ETCD_ENDPOINTS, a list of endpoints separated by
// commas, makes it use those servers instead; there it works below a prefix of its own, which it
// deletes. It prints each step and exits with status 1 on any surprise.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// endpointsEnv names the variable that lists the servers to use.
const endpointsEnv = "ETCD_ENDPOINTS"

func main() {
	// An interrupt ends the session's context, so that the server is stopped and its directory
	// removed.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Getenv(endpointsEnv))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run does the steps of the example on the servers in endpoints, or on a server that it starts if
// endpoints is empty.
func run(ctx context.Context, out io.Writer, endpoints string) (err error) {
	if endpoints != "" {
		eps := strings.Split(endpoints, ",")
		fmt.Fprintf(out, "etcd at %s, named by %s\n", strings.Join(eps, ", "), endpointsEnv)
		return converse(ctx, out, eps)
	}
	cluster, err := etcdtest.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	eps := cluster.Endpoints()
	fmt.Fprintf(out, "etcd at %s, started for this session\n", strings.Join(eps, ", "))
	return converse(ctx, out, eps)
}

// converse runs every step with one client and leaves no key behind.
func converse(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	s := &session{client: client, out: out, prefix: fmt.Sprintf("quickstart/%d/",
		time.Now().UnixNano())}
	for _, step := range steps {
		fmt.Fprintf(out, "\n%s\n", step.title)
		if err := s.run(ctx, step); err != nil {
			s.cleanUp(ctx)
			return fmt.Errorf("%s: %w", strings.ToLower(step.title), err)
		}
	}
	fmt.Fprintln(out, "\nEverything went as expected.")
	return nil
}
