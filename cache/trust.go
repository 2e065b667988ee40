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

// askVersions is the wait before the endpoints are asked for their versions again, because a member
// is not known.
const askVersions = 10 * time.Second

// versions knows of each member whether its notices of progress can be trusted: one at revision r
// comes after all events up to r. Notices of versions before 3.4.25, and from 3.5.0 to 3.5.7, may
// overtake events. What has no version and no member id is not trusted.
type versions struct {
	mu     sync.Mutex
	orders map[uint64]bool // by member id
	asked  time.Time       // when the endpoints were asked
	asking bool
	wait   []*Cache // caches to be told when the endpoints have answered
}

// trusts reports whether a notice of progress shows that all events up to its revision have been
// delivered. If the member is not known, it is not trusted yet, and the endpoints are asked.
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

// askVersions asks all endpoints for their versions, and has the caches that wait for it ask for
// progress again.
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
}

// wake has the caches that wait ask for progress again. The caller holds mu.
func (v *versions) wake() {
	for _, c := range v.wait {
		c.mu.Lock()
		c.silence = silence{}
		c.mu.Unlock()
		c.wake()
	}
}

// ordersProgress reports whether a server of a version orders notices of progress and events.
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
