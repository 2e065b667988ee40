// Command scheduler does a job at regular times. Only one of the running instances does it. Start
// several instances, with ETCD_ENDPOINTS set to the same servers, and then end one of them.
//
// In its test, three instances run for an hour, and the leader dies. The test takes only a moment,
// because with etcdfake and testing/synctest time passes at once while all goroutines wait:
//
//	go test -v ./examples/scheduler
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

var every = flag.Duration("every", 10*time.Second, "how often the job is done, in whole seconds")

func main() { demo.Main(run, threeTimes) }

// run runs one instance of the scheduler until ctx ends.
func run(ctx context.Context, out io.Writer, endpoints []string) error {
	return schedule(ctx, out, endpoints, *every, func(_ context.Context, due time.Time) {
		fmt.Fprintln(out, "the job of", due.Format(time.TimeOnly))
	})
}

// threeTimes runs one instance of the scheduler until it has done three jobs.
func threeTimes(ctx context.Context, out io.Writer, endpoints []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done := 0
	err := schedule(ctx, out, endpoints, time.Second, func(_ context.Context, due time.Time) {
		fmt.Fprintln(out, "the job of", due.Format(time.TimeOnly))
		if done++; done == 3 {
			cancel()
		}
	})
	if done < 3 {
		return errors.Join(err, ctx.Err())
	}
	return err
}

func schedule(
	ctx context.Context, out io.Writer, endpoints []string, every time.Duration,
	job func(context.Context, time.Time),
) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	scheduler := Scheduler{Client: client, Prefix: "examples/scheduler", Every: every, Job: job,
		Log: out}
	scheduler.Run(ctx)
	return nil
}
