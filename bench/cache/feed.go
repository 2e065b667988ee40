package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// feed says what a second process writes while this process reads. Writers in this process would
// have to wait for a CPU among the readers.
type feed struct {
	endpoint, prefix string
	keys             int // they are written one after another, over and over
	batch            int // keys of a transaction
	rate             int // transactions a second; 0 for as many as the server takes
}

// feedCommand is the first argument of the process that writes.
const feedCommand = "feed"

// args are the arguments of the process that writes.
func (f feed) args() []string {
	return []string{feedCommand, "-endpoint", f.endpoint, "-prefix", f.prefix, "-keys",
		fmt.Sprint(f.keys), "-batch", fmt.Sprint(f.batch), "-rate", fmt.Sprint(f.rate)}
}

func parseFeed(args []string) (f feed, err error) {
	flags := flag.NewFlagSet(feedCommand, flag.ContinueOnError)
	flags.StringVar(&f.endpoint, "endpoint", "", "host:port of the server")
	flags.StringVar(&f.prefix, "prefix", "", "of the keys")
	flags.IntVar(&f.keys, "keys", 1, "how many keys are written in turn")
	flags.IntVar(&f.batch, "batch", 1, "keys of a transaction")
	flags.IntVar(&f.rate, "rate", 0, "transactions a second; 0 for as many as the server takes")
	return f, flags.Parse(args)
}

// while starts a process that writes as w says, calls f, and then stops the process.
func (b *bench) while(ctx context.Context, w feed, f func() error) error {
	w.endpoint = b.client.Endpoints()[0]
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, w.args()...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = f()
	return errors.Join(err, in.Close(), cmd.Wait())
}

// runFeed writes as the arguments say, until in is closed.
func runFeed(args []string, in io.Reader) error {
	f, err := parseFeed(args)
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{f.endpoint}})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Ends when the process that has started this one closes the pipe, or with this process.
	go func() {
		_, _ = io.Copy(io.Discard, in)
		stop()
	}()
	return errors.Join(f.write(ctx, client), client.Close())
}

// feeders is how many callers write.
const feeders = 16

// write runs the writers until ctx ends.
func (f feed) write(ctx context.Context, client *clientv3.Client) error {
	var group sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, feeders)
	start := time.Now()
	for i := range errs {
		// Ends with ctx; write waits.
		group.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				n := next.Add(1) - 1
				if f.rate > 0 {
					due := start.Add(time.Duration(n) * time.Second / time.Duration(f.rate))
					_ = backoff.Wait(ctx, time.Until(due)) // the loop sees the end of ctx
				}
				errs[i] = f.put(ctx, client, int(n)*f.batch)
			}
			if ctx.Err() != nil {
				errs[i] = nil
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// put writes f.batch keys in one transaction. The parameter first is the number of the first key.
func (f feed) put(ctx context.Context, client *clientv3.Client, first int) error {
	ops := make([]clientv3.Op, f.batch)
	for i := range ops {
		ops[i] = clientv3.OpPut(fmt.Sprintf("%s%08d", f.prefix, (first+i)%f.keys), "changed")
	}
	_, err := client.Txn(ctx).Then(ops...).Commit()
	return err
}
