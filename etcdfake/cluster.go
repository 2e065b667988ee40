package etcdfake

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake/internal/store"
)

const (
	clusterID     = 0xfa4e
	firstMemberID = 0xfa4e01
)

// Cluster is a fake etcd cluster. Its methods are safe for concurrent use. A method that is given a
// member's index or an RPC method's name calls Fatalf if there is no such member or RPC method.
// Therefore call such a method only from the goroutine that runs the test.
type Cluster struct {
	// read-only after New
	tb      testing.TB
	opts    options
	store   *store.Store
	members []*Member

	log     requestLog
	hooks   hookTable
	callers *callerTable

	openReported sync.Once

	// guarded by mu
	mu         sync.Mutex
	expiry     *time.Timer // fires when the next lease expires
	closed     bool
	leaderBack chan struct{} // closed while there is a leader
	noLeader   *time.Timer   // fires when streams that require a leader must end
}

// New starts a cluster that runs until the end of the test. It fails the test if an option is
// invalid. Inside of a testing/synctest bubble the cluster uses virtual time: when all goroutines
// of the bubble are blocked, time jumps ahead, so even a lease of an hour expires without a real
// wait.
func New(tb testing.TB, opts ...Option) *Cluster {
	tb.Helper()
	o := defaultOptions()
	for _, opt := range opts {
		opt(&o)
	}
	if o.election <= 0 {
		tb.Fatalf("etcdfake: an election timeout of %v: it must be positive", o.election)
	}
	if o.members < 1 || o.learner && o.members < 2 {
		tb.Fatalf("etcdfake: a cluster of %d members, learner %v: it needs one that votes",
			o.members, o.learner)
	}
	c := &Cluster{tb: tb, opts: o, leaderBack: make(chan struct{}),
		callers: newCallerTable()}
	close(c.leaderBack)
	c.hooks.c = c
	c.store = store.New(store.Config{
		Now:       time.Now,
		ClusterID: clusterID,
		Members:   memberList(o),
		Version:   o.version,
		Quota:     o.quota,
		TokenTTL:  o.tokenTTL,
		MinTTL:    o.minLeaseTTL(),
		Election:  o.election,
	})
	c.store.OnExpiry(c.arm)
	for i := range o.members {
		c.members = append(c.members, newMember(c, i))
	}
	c.addUsers()
	tb.Cleanup(c.close)
	return c
}

func memberList(o options) []*pb.Member {
	var members []*pb.Member
	for i := range o.members {
		members = append(members, &pb.Member{
			ID:         memberID(i),
			Name:       memberName(i),
			PeerURLs:   []string{fmt.Sprintf("http://%s:2380", memberName(i))},
			ClientURLs: []string{"http://" + memoryAddr(i)},
			IsLearner:  o.learner && i == o.members-1,
		})
	}
	return members
}

func memberID(i int) uint64   { return firstMemberID + uint64(i) }
func memberName(i int) string { return fmt.Sprintf("m%d", i) }
func memoryAddr(i int) string { return fmt.Sprintf("etcdfake-%d:2379", i) }

// close runs at the end of the test. It logs which calls, watches and leases the test has left
// open, and then stops the members.
func (c *Cluster) close() {
	c.tb.Helper()
	c.openReported.Do(c.reportOpen)
	c.report()
	for _, m := range c.members {
		m.shutDown()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, t := range []*time.Timer{c.expiry, c.noLeader} {
		if t != nil {
			t.Stop()
		}
	}
}

// arm sets the timer that revokes the leases that expire next. It stops the timer if no lease will
// expire.
func (c *Cluster) arm() {
	next, any := c.store.NextExpiry()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	if any && !c.closed {
		c.expiry = time.AfterFunc(time.Until(next), c.store.Tick)
	}
}

// Endpoints returns the in-memory addresses of the members. A client reaches them only with the
// function that Dialer returns.
func (c *Cluster) Endpoints() []string {
	var endpoints []string
	for _, m := range c.members {
		endpoints = append(endpoints, m.Endpoint())
	}
	return endpoints
}

// Client returns a client with the endpoints of all members, connected in memory. The client is
// closed at the end of the test. Each mod may change the client's configuration. Client fails the
// test if the client cannot be made.
func (c *Cluster) Client(mod ...func(*clientv3.Config)) *clientv3.Client {
	c.tb.Helper()
	cfg := clientv3.Config{Endpoints: c.Endpoints(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(c.Dialer()),
			grpc.WithChainUnaryInterceptor(c.callers.intercept)}}
	for _, f := range mod {
		f(&cfg)
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		c.tb.Fatalf("etcdfake: a client with endpoints %v: %v", cfg.Endpoints, err)
	}
	client.Watcher = watcher{client.Watcher, c.callers}
	c.tb.Cleanup(func() {
		c.openReported.Do(c.reportOpen)
		_ = client.Close()
	})
	return client
}

// Dialer returns a function for grpc.WithContextDialer that connects to the members. It takes the
// addresses that [Cluster.Endpoints] returns. The function returns an error if the member is
// stopped, or if no member has the address.
func (c *Cluster) Dialer() func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		_, host, found := strings.Cut(addr, "://")
		if !found {
			host = addr
		}
		for _, m := range c.members {
			if memoryAddr(m.index) == host {
				return m.dial(ctx)
			}
		}
		return nil, fmt.Errorf("etcdfake: no member has the address %q; they have %v", addr,
			c.Endpoints())
	}
}

// Listen makes the first member listen on a TCP port, and returns the address, "127.0.0.1:port",
// for other processes and for clients in other languages. It calls Member.Listen of the first
// member.
func (c *Cluster) Listen() string {
	c.tb.Helper()
	return c.members[0].Listen()
}

// Member returns the member with the index i. The first member has the index 0. Member fails the
// test if there is no such member.
func (c *Cluster) Member(i int) *Member {
	c.tb.Helper()
	if i < 0 || i >= len(c.members) {
		c.tb.Fatalf("etcdfake: there is no member %d; the cluster has %d, from 0", i,
			len(c.members))
	}
	return c.members[i]
}

// Revision returns the revision of the newest write. It is 1 before the first write.
func (c *Cluster) Revision() int64 { return c.store.Revision() }

// Dump returns the keys that begin with prefix, and their values.
func (c *Cluster) Dump(prefix string) map[string]string { return c.store.Dump(prefix) }

// Lease is a lease that has not expired.
type Lease struct {
	ID     clientv3.LeaseID // the ID that Grant returned
	TTL    time.Duration    // the TTL that was granted
	Expiry time.Time        // when the lease expires if it is not renewed
	Keys   []string         // the keys that are attached to the lease, sorted
}

// Leases returns the leases that have not expired. The lease that expires next is first.
func (c *Cluster) Leases() []Lease {
	var leases []Lease
	for _, l := range c.store.Leases() {
		leases = append(leases, Lease{ID: clientv3.LeaseID(l.ID),
			TTL: time.Duration(l.TTL) * time.Second, Expiry: l.Expiry, Keys: l.Keys})
	}
	return leases
}
