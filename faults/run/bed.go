package main

import (
	"context"
	"errors"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

const memberCount = 3

// bed is three real members, each behind a proxy, and an observer that watches all their keys.
type bed struct {
	*etcdtest.Cluster
	proxies  []*faultnet.Proxy
	conns    []*grpc.ClientConn // to the members, past the proxies
	observer *observer
	leader   int
	// asked is the number of logins or connections, in a scenario that counts them.
	asked int
}

// newBed starts the members. The caller closes the bed, also after an error.
func newBed(ctx context.Context, opts ...etcdtest.Option) (*bed, error) {
	cluster, err := etcdtest.New(append([]etcdtest.Option{etcdtest.WithMembers(memberCount)},
		opts...)...)
	if err != nil {
		return nil, err
	}
	b := &bed{Cluster: cluster}
	for _, m := range cluster.Members() {
		p, err := faultnet.Listen(m.Address())
		if err != nil {
			return b, err
		}
		b.proxies = append(b.proxies, p)
		conn, err := m.Dial()
		if err != nil {
			return b, err
		}
		b.conns = append(b.conns, conn)
	}
	leader, err := cluster.WaitLeader(ctx)
	b.leader = slices.Index(cluster.Members(), leader)
	return b, err
}

// close ends the members, the proxies and the observer.
func (b *bed) close() error {
	if b.observer != nil {
		b.observer.close()
	}
	for _, p := range b.proxies {
		p.Close()
	}
	var errs []error
	for _, c := range b.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, b.Cluster.Close())...)
}

// endpoints returns the endpoints of the proxies.
func (b *bed) endpoints() []string {
	scheme := ""
	if b.CAFile() != "" {
		scheme = "https://"
	}
	var all []string
	for _, p := range b.proxies {
		all = append(all, scheme+p.Addr())
	}
	return all
}

func (b *bed) member(i int) *etcdtest.Member { return b.Members()[i%memberCount] }
func (b *bed) follower() int                 { return (b.leader + 1) % memberCount }

// ask runs the function call with the direct connection to one member after another, until call
// returns no error or a minute has passed.
func (b *bed) ask(ctx context.Context, call func(context.Context, *grpc.ClientConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i := 0; ; i++ {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := call(one, b.conns[i%len(b.conns)])
		cancel()
		if err == nil {
			return nil
		}
		if wait(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin makes some puts, which a watch with a past start revision has to deliver, and starts the
// observer. It returns the revision of the first put, from which the observer watches.
func (b *bed) begin(ctx context.Context) (first int64, err error) {
	const changes = 50
	put := func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{
			Key: []byte(record.LoadPrefix + "0"), Value: []byte("before")})
		if err == nil && first == 0 {
			first = resp.Header.Revision
		}
		return err
	}
	for range changes {
		if err := b.ask(ctx, put); err != nil {
			return 0, err
		}
	}
	b.observer = newObserver(ctx, b, first)
	return first, nil
}

// mark puts and then deletes a key. So every watch has an event to deliver, even one that filters
// puts or deletes. mark returns the revision of the put.
func (b *bed) mark(ctx context.Context) (last int64, err error) {
	key := []byte(record.LoadPrefix + "0")
	err = b.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		kv := pb.NewKVClient(conn)
		resp, err := kv.Put(ctx, &pb.PutRequest{Key: key, Value: []byte("end")})
		if err != nil {
			return err
		}
		last = resp.Header.Revision
		_, err = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key})
		return err
	})
	return last, err
}

// compact compacts the members at the last revision that the observer has recorded.
func (b *bed) compact(ctx context.Context) error {
	return b.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewKVClient(conn).Compact(ctx,
			&pb.CompactionRequest{Revision: b.observer.last()})
		return err
	})
}

// leases returns the leases that the leader has.
func (b *bed) leases(ctx context.Context) (alive []int64, err error) {
	leader, err := b.WaitLeader(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := leader.Dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	resp, err := pb.NewLeaseClient(conn).LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	for _, l := range resp.GetLeases() {
		alive = append(alive, l.ID)
	}
	return alive, err
}

// end waits until the observer has seen a revision and returns the history.
func (b *bed) end(ctx context.Context, last int64) (judge.History, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for b.observer.last() < last {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return b.observer.history()
}
