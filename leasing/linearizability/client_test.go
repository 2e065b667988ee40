//go:build unix

package linearizability

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
)

const (
	prefix    = "leases/"
	leaseTTL  = 2 // seconds
	workers   = 3 // workers of each client
	opTimeout = 500 * time.Millisecond
)

// job is the configuration of a client process, which an environment variable holds.
type job struct {
	Client    int
	Endpoints []string
	Leasing   bool
	Seed      uint64
}

// order is what a client process reads from its standard input. The process ends at the end of the
// input.
type order struct {
	Keys  []string // the client reads and writes these keys from now on
	Eager bool     // one worker calls readEagerly after each operation
}

// client is a client process.
type client struct {
	job
	kv       clientv3.KV
	order    atomic.Pointer[order]
	requests atomic.Int64 // the number of KV requests sent
	ctx      context.Context

	mu  sync.Mutex
	out *json.Encoder
}

// summary is the last line that a client process writes.
type summary struct {
	Requests int64 `json:"requests"`
}

// runClient is the main function of a client process.
func runClient(spec string) error {
	c := &client{out: json.NewEncoder(os.Stdout)}
	if err := json.Unmarshal([]byte(spec), &c.job); err != nil {
		return err
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints,
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(c.countRequest)}})
	if err != nil {
		return err
	}
	defer cli.Close()
	c.kv = cli.KV
	if c.Leasing {
		kv, stop, err := leasing.NewKV(cli, prefix, concurrency.WithTTL(leaseTTL))
		if err != nil {
			return err
		}
		defer stop()
		c.kv = kv
	}

	c.write(event{Op: ready})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.ctx = ctx
	var running sync.WaitGroup
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		if c.order.Swap(&o) == nil {
			for w := range workers {
				running.Go(func() { c.work(c.Client*workers + w) })
			}
		}
	}
	cancel()
	running.Wait()
	return c.out.Encode(summary{c.requests.Load()})
}

func (c *client) countRequest(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	c.requests.Add(1)
	return invoke(ctx, method, req, reply, cc, opts...)
}

// work runs one operation after the other.
func (c *client) work(worker int) {
	rnd := rand.New(rand.NewPCG(c.Seed, uint64(worker)))
	last := map[string]string{} // the last value seen, by key
	for n := 0; c.ctx.Err() == nil; n++ {
		dice := rnd.IntN(1000)
		e := event{Worker: worker, Key: c.pick(rnd, dice), Value: fmt.Sprintf("%d.%d", worker, n)}
		e.Old = last[e.Key]
		c.measure(&e, func(ctx context.Context) error { return c.do(ctx, dice, &e) })
		if e.Found {
			last[e.Key] = e.Out
		}
		c.write(e)
		if worker%workers == 0 && c.order.Load().Eager {
			c.readEagerly(worker, rnd)
		}
		time.Sleep(time.Duration(1+rnd.IntN(8)) * time.Millisecond)
	}
}

// measure runs an operation, and records when it ran and whether it failed.
func (c *client) measure(e *event, op func(context.Context) error) {
	ctx, cancel := context.WithTimeout(c.ctx, opTimeout)
	defer cancel()
	e.Start = now()
	err := op(ctx)
	e.End = now()
	e.Unknown = err != nil
}

// readEagerly reads a cached key in a tight loop for 50 ms. A test that stops the process then most
// probably stops it during a read, and the process continues with a read. readEagerly records only
// some of the reads.
func (c *client) readEagerly(worker int, rnd *rand.Rand) {
	key, wrote := c.pick(rnd, 0), int64(0)
	// Each read adds at most 1 ms, so the time in which the process is stopped does not count.
	for spent := int64(0); spent < int64(50*time.Millisecond); {
		e := event{Worker: worker, Key: key}
		c.measure(&e, func(ctx context.Context) error { return c.do(ctx, 0, &e) })
		took := min(e.End-e.Start, int64(time.Millisecond))
		spent += took
		if took > int64(200*time.Microsecond) { // not answered from the cache
			key = c.pick(rnd, 0)
		}
		if e.Start-wrote > int64(2*time.Millisecond) {
			wrote = e.Start
			c.write(e)
		}
	}
}

func (c *client) write(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(e) // fails only if the test has ended
}

// pick picks a key. Most often it is a key that no other leasing client prefers, so that each
// leasing client owns (caches) some keys for a while. Otherwise it may be any key.
func (c *client) pick(rnd *rand.Rand, dice int) string {
	ks := c.order.Load().Keys
	i := rnd.IntN(len(ks))
	if dice < 800 || dice >= 994 {
		i -= i % leasingClients
		i += c.Client % leasingClients
	}
	return ks[i]
}

// do runs an operation. The parameter dice, a random number from 0 to 999, chooses which.
func (c *client) do(ctx context.Context, dice int, e *event) error {
	switch {
	case dice < 850 || c.Leasing && dice < 988:
		e.Op = "get"
		resp, err := c.kv.Get(ctx, e.Key)
		if err == nil && len(resp.Kvs) > 0 {
			e.Found, e.Out = true, string(resp.Kvs[0].Value)
		}
		return err
	case !c.Leasing:
		return c.guarded(ctx, e)
	case dice%6 < 3:
		e.Op, e.Prev = "put", true
		resp, err := c.kv.Put(ctx, e.Key, e.Value, clientv3.WithPrevKV())
		if err == nil && resp.PrevKv != nil {
			e.Found, e.Out = true, string(resp.PrevKv.Value)
		}
		return err
	case dice%6 == 3:
		e.Op = "delete"
		var opts []clientv3.OpOption
		if dice < 994 {
			opts = append(opts, clientv3.WithRange(e.Key+"\x00"))
		}
		resp, err := c.kv.Delete(ctx, e.Key, opts...)
		e.Done = err == nil && resp.Deleted == 1
		return err
	default:
		e.Op = "swap"
		return c.ifElse(ctx, e, clientv3.Compare(clientv3.Value(e.Key), "=", e.Old))
	}
}

// guarded puts the value if no leasing client owns the key, as a program without a leasing KV may
// do. Otherwise it only reads the key.
func (c *client) guarded(ctx context.Context, e *event) error {
	e.Op = "put"
	err := c.ifElse(ctx, e, clientv3util.KeyMissing(prefix+e.Key))
	if err == nil && !e.Done {
		e.Op = "get"
	}
	return err
}

// ifElse puts the value if a condition is true, and reads the key otherwise.
func (c *client) ifElse(ctx context.Context, e *event, cond clientv3.Cmp) error {
	resp, err := c.kv.Txn(ctx).If(cond).Then(clientv3.OpPut(e.Key, e.Value)).Else(
		clientv3.OpGet(e.Key)).Commit()
	if err != nil {
		return err
	}
	if e.Done = resp.Succeeded; e.Done {
		return nil
	}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		e.Found, e.Out = true, string(kvs[0].Value)
	}
	return nil
}
