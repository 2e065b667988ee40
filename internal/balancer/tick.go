package balancer

import (
	"context"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

// probeTimeout bounds a probe (a health check) and a read of one key. If a member answers neither,
// and its peers answer, the member is ejected (its connection is closed) long before that.
const probeTimeout = 5 * time.Second

// wake starts the ticks (the regular comparisons of the members) if they do not run. Ticks go on as
// long as there are requests.
func (t *Tracker) wake() {
	if t.ticking.Load() || !t.ticking.CompareAndSwap(false, true) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastTick = time.Now()
	t.scheduleLocked()
}

func (t *Tracker) scheduleLocked() {
	if !t.closed {
		t.timer.Reset(memberhealth.TickPeriod)
	}
}

// change is one change of a member's health, to be passed to Options.Report.
type change struct{ address, health string }

// tick compares the members, probes and ejects members, and reports changes. While there are
// requests, it schedules the next tick. It runs on the timer's goroutine. Close waits until it has
// returned.
func (t *Tracker) tick() {
	t.running.Lock()
	defer t.running.Unlock()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	busy, eject, changes := t.decideLocked(time.Now())
	if !busy {
		t.ticking.Store(false)
		// A request may have arrived after decideLocked had looked at the members. It has not
		// started the ticks, because ticking was still true. So the next tick is scheduled here. If
		// CompareAndSwap fails, a later request has already scheduled it.
		waiting := func(h *memberhealth.Member) bool { return h.Outstanding() > 0 }
		busy = slices.ContainsFunc(t.health, waiting) && t.ticking.CompareAndSwap(false, true)
	}
	if busy {
		t.scheduleLocked()
	}
	t.mu.Unlock()
	for _, m := range eject {
		m.closeConn()
	}
	for _, c := range changes {
		t.Report(c.address, c.health)
	}
}

// decideLocked compares the members. To see which members still work, it sends health checks and
// reads of one key. It returns the members to eject and the changes to report, for the caller to
// handle after it has released the lock. busy is true if the members must be compared again at the
// next tick.
func (t *Tracker) decideLocked(now time.Time) (busy bool, eject []*Member, changes []change) {
	busy = t.observeLocked(now)
	d := memberhealth.Decide(t.health, now, !t.NoProbes)
	for _, h := range d.Probe {
		t.startProbeLocked(t.ownerLocked(h))
	}
	for _, h := range d.Read {
		t.startReadLocked(t.ownerLocked(h))
	}
	for _, h := range d.Eject {
		eject = append(eject, t.ownerLocked(h))
	}
	for _, h := range d.Changed {
		changes = append(changes, change{t.ownerLocked(h).address, h.Health().String()})
	}
	return busy, eject, changes
}

// ownerLocked returns the connected Member whose health is h.
func (t *Tracker) ownerLocked(h *memberhealth.Member) *Member {
	return t.ready[slices.Index(t.health, h)]
}

// observeLocked takes a sample of each member's counters. It reports whether the members must be
// compared again at the next tick.
func (t *Tracker) observeLocked(now time.Time) (busy bool) {
	elapsed := now.Sub(t.lastTick)
	t.lastTick = now
	for _, h := range t.health {
		if elapsed > 3*memberhealth.TickPeriod {
			h.Pause(elapsed-memberhealth.TickPeriod, now)
		}
		busy = h.Observe(now, elapsed) || busy
	}
	return busy
}

// startProbeLocked sends a member a health check.
func (t *Tracker) startProbeLocked(m *Member) {
	t.sendLocked(m, t.probe, func(err error, inTime bool) {
		answered := err == nil || inTime && status.Code(err) != codes.Unavailable
		m.health.AnswerProbe(answered, time.Now())
		memberhealth.SetLimits(t.health)
	})
}

// startReadLocked sends a member a read of one key. The answer is ignored if the member has a new
// connection when the answer arrives.
func (t *Tracker) startReadLocked(m *Member) {
	connection := m.connection
	t.sendLocked(m, t.read, func(err error, inTime bool) {
		refused := inTime && isRefusal(err)
		if connection == m.connection {
			m.health.AnswerRead(inTime && !refused, refused, time.Now())
		}
	})
}

// sendLocked sends a member a request from a new goroutine. When the request has ended, the
// goroutine takes the lock and calls noteLocked with the request's error. inTime is true if the
// request ended before probeTimeout and before Close.
func (t *Tracker) sendLocked(
	m *Member, request func(context.Context, *Member) error,
	noteLocked func(err error, inTime bool),
) {
	if t.closed {
		return
	}
	// The goroutine ends with the request, at the latest after probeTimeout or when Close cancels
	// t.ctx. Close waits for the goroutine.
	t.probes.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, probeTimeout)
		defer cancel()
		err := request(ctx, m)
		inTime := ctx.Err() == nil
		t.mu.Lock()
		defer t.mu.Unlock()
		noteLocked(err, inTime)
	})
}

// checkHealth sends a health check to a member. Any answer shows that the member is alive.
func checkHealth(ctx context.Context, m *Member) error {
	return m.invoke(ctx, healthpb.Health_Check_FullMethodName, &healthpb.HealthCheckRequest{},
		&healthpb.HealthCheckResponse{})
}

// readOneKey reads a key that does not exist. A working member answers the read, or refuses it to a
// user without permission. A member that defragments its store or waits for other members does
// neither.
func readOneKey(ctx context.Context, m *Member) error {
	return m.invoke(ctx, pb.KV_Range_FullMethodName,
		&pb.RangeRequest{Key: []byte{0}, KeysOnly: true}, &pb.RangeResponse{})
}

// invoke sends a request on the member's own connection, where no interceptor can answer it.
func (m *Member) invoke(ctx context.Context, method string, req, resp any) error {
	c := m.conn.Load()
	if c == nil {
		return errNotConnected
	}
	rpc, release := c.rpc()
	defer release()
	return rpc.Invoke(origin.Client(ctx), method, req, resp, grpc.StaticMethod())
}
