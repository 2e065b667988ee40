package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// statusTimeout is the timeout of the request that asks one endpoint for its version.
const statusTimeout = 5 * time.Second

// askVersions is the shortest time between two rounds of asking all endpoints for their versions.
// Another round is needed when a notice of progress comes from a member whose version is still
// unknown.
const askVersions = 10 * time.Second

// versionsValid is how long the versions that the endpoints have reported are relied on. Then the
// endpoints are asked again, because a server may have been upgraded or downgraded.
const versionsValid = 10 * time.Minute

// versions records, for each member, whether its notices of progress can be trusted. A notice at
// revision r must come only after all events up to r. Servers of etcd before 3.4.25, and from 3.5.0
// to 3.5.7, may send it before older events. A server whose version or member id is unknown is not
// trusted.
type versions struct {
	mu sync.Mutex
	// orders says, by member id, whether the member sends a notice at revision r only after all
	// events up to r. A member whose version is unknown has no entry.
	orders map[uint64]bool
	asked  time.Time // when the endpoints were last asked for their versions
	asking bool      // the endpoints are being asked now
	wait   []*Cache  // caches that request progress again when an endpoint has answered
}

// trusts reports whether a notice of progress proves that all events up to its revision have been
// delivered. That depends on the version of the member that has sent the notice. If the version is
// unknown, trusts returns false, and starts to ask all endpoints for theirs. After versionsValid it
// asks them again.
func (c *Cache) trusts(resp *clientv3.WatchResponse) bool {
	return c.asker.ordersProgress(c, resp.Header)
}

func (a *asker) ordersProgress(c *Cache, header *pb.ResponseHeader) bool {
	v, member := &a.versions, header.GetMemberId()
	v.mu.Lock()
	defer v.mu.Unlock()
	orders, known := v.orders[member]
	switch {
	case member == 0 || c.client.Maintenance == nil:
		return orders
	case known && time.Since(v.asked) < versionsValid:
		return orders
	case v.asking && !known:
		v.wait = append(v.wait, c)
		return false
	case v.asking:
		return orders
	}
	if a.ctx.Err() == nil && (v.asked.IsZero() || time.Since(v.asked) > askVersions) {
		v.asking, v.asked, v.wait = true, time.Now(), []*Cache{c}
		// The goroutine ends when all endpoints have answered, or with a.ctx. asker.end waits for
		// it.
		a.tasks.Go(func() { a.askVersions(c.client) })
	}
	return orders
}

// askVersions asks all endpoints for their versions. Some caches wait for the version of a member.
// After each answer, askVersions wakes these caches, and they send another request for progress.
func (a *asker) askVersions(client *clientv3.Client) {
	var all sync.WaitGroup
	for _, endpoint := range client.Endpoints() {
		// The goroutine ends after statusTimeout, or with a.ctx. askVersions waits for it.
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

// wake wakes the caches that wait for the version of a member, so that they send another request
// for progress. The caller holds mu.
func (v *versions) wake() {
	for _, c := range v.wait {
		c.mu.Lock()
		c.silence = silence{}
		c.mu.Unlock()
		c.wake()
	}
}

// ordersProgress reports whether servers of a version send a notice of progress only after all
// events up to the notice's revision. It returns false if the version cannot be parsed.
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
