package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// statusTimeout bounds the question to one endpoint for its version.
const statusTimeout = 5 * time.Second

// askVersions is how long it takes until the endpoints may be asked for their versions again,
// because a member is still unknown.
const askVersions = 10 * time.Second

// versions has, for each member, whether its notices of progress can be trusted: whether a notice
// at revision r comes after all events up to r. Notices of etcd before 3.4.25, and from 3.5.0 to
// 3.5.7, may overtake events. A server without a version or a member id is not trusted.
type versions struct {
	mu     sync.Mutex
	orders map[uint64]bool // by member id
	asked  time.Time       // when the endpoints were asked
	asking bool
	wait   []*Cache // caches to be told when the endpoints have answered
}

// trusts reports whether a notice of progress shows that all events up to its revision have been
// delivered. For a member that is not known yet it returns false, and asks the endpoints for their
// versions.
func (c *Cache) trusts(resp *clientv3.WatchResponse) bool {
	return c.asker.ordersProgress(c, resp.Header)
}

func (a *asker) ordersProgress(c *Cache, header *pb.ResponseHeader) bool {
	v, member := &a.versions, header.GetMemberId()
	v.mu.Lock()
	defer v.mu.Unlock()
	orders, known := v.orders[member]
	if known || member == 0 || c.client.Maintenance == nil {
		return orders
	}
	if v.asking {
		v.wait = append(v.wait, c)
		return false
	}
	if a.ctx.Err() == nil && (v.asked.IsZero() || time.Since(v.asked) > askVersions) {
		v.asking, v.asked, v.wait = true, time.Now(), []*Cache{c}
		// Ends when all endpoints have answered, or with a.ctx; leaveAsker waits.
		a.tasks.Go(func() { a.askVersions(c.client) })
	}
	return false
}

// askVersions asks all endpoints for their versions. Then it has the caches that wait for the
// versions ask for progress again.
func (a *asker) askVersions(client *clientv3.Client) {
	var all sync.WaitGroup
	for _, endpoint := range client.Endpoints() {
		// Ends after statusTimeout, or with a.ctx; this function waits.
		all.Go(func() {
			ctx, cancel := context.WithTimeout(a.ctx, statusTimeout)
			defer cancel()
			resp, err := client.Status(ctx, endpoint)
			if err != nil || resp.Header.GetMemberId() == 0 {
				return
			}
			a.versions.mu.Lock()
			defer a.versions.mu.Unlock()
			a.versions.orders[resp.Header.MemberId] = ordersProgress(resp.Version)
			a.versions.wake()
		})
	}
	all.Wait()
	a.versions.mu.Lock()
	defer a.versions.mu.Unlock()
	a.versions.asking = false
	a.versions.wake()
	a.versions.wait = nil
}

// wake has the waiting caches ask for progress again. The caller holds mu.
func (v *versions) wake() {
	for _, c := range v.wait {
		c.mu.Lock()
		c.silence = silence{}
		c.mu.Unlock()
		c.wake()
	}
}

// ordersProgress reports whether servers of a version send a notice of progress only after all
// events up to its revision.
func ordersProgress(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	switch {
	case major != 3 || minor > 5:
		return major >= 3
	case minor == 5:
		return patch >= 8
	default:
		return minor == 4 && patch >= 25
	}
}
