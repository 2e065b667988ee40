package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// Lengths of the parts of a run other than the fault.
const (
	warmFor   = time.Second
	beforeFor = 1500 * time.Millisecond
	afterFor  = 2500 * time.Millisecond
)

// runTimeout bounds a run of one scenario with one client.
const runTimeout = 3 * time.Minute

// step is one action of a scenario: it changes the members or proxies of the bed.
type step func(context.Context, *bed) error

// scenario is a fault, and the load that meets it.
type scenario struct {
	name    string
	about   string
	options []etcdtest.Option
	plan    record.Plan
	length  time.Duration
	after   time.Duration // how long the load runs after heal; zero stands for afterFor
	direct  bool          // the client connects to the members, not to their proxies

	prepare step // before the client starts
	fault   step // begins the fault
	heal    step // ends it
	compact bool // the members compact in the middle of the fault

	// asked says what the field Asked of the figures counts in this scenario, for example "logins".
	// It is "" if the scenario counts nothing.
	asked string
}

// usualLoad is the load of most scenarios.
var usualLoad = record.Plan{Readers: 8, Writers: 4, Watches: true, Bulk: true, Leases: 200, TTL: 5,
	Registers: 6}

// run runs the scenario with one of the compared clients, named contender. It returns the figures,
// and the versions of the modules with which the client program was built.
func (s scenario) run(
	ctx context.Context, p programs, contender, broken string,
) (f judge.Figures, versions map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	b, err := newBed(ctx, s.options...)
	if b != nil {
		defer func() { err = errors.Join(err, b.close()) }()
	}
	if err != nil {
		return f, nil, err
	}
	if err := s.prepare.do(ctx, b); err != nil {
		return f, nil, err
	}
	plan := s.plan
	plan.Endpoints, plan.CA, plan.Broken = b.endpoints(), b.CAFile(), broken
	if s.direct {
		plan.Endpoints = b.Endpoints()
	}
	if plan.PastRevision, err = b.begin(ctx); err != nil {
		return f, nil, err
	}
	c, err := p.start(ctx, contender, plan)
	if err != nil {
		return f, nil, err
	}
	r, err := s.measure(ctx, b, c)
	if err != nil {
		return f, nil, errors.Join(err, c.wait())
	}
	f = judge.Judge(r)
	f.Scenario, f.Client, f.Asked = s.name, contender, b.asked
	return f, r.Record.Versions, nil
}

// measure injects the fault while the load runs. It then stops the load, and returns the record of
// the client program and the history of the members.
func (s scenario) measure(ctx context.Context, b *bed, c *child) (r judge.Run, err error) {
	if r.Phases, err = s.phases(ctx, b); err != nil {
		return r, err
	}
	if err := c.tell("stop", "stopped\n"); err != nil {
		return r, err
	}
	if r.Last, err = b.mark(ctx); err != nil {
		return r, err
	}
	if r.Alive, err = b.leases(ctx); err != nil {
		return r, err
	}
	if r.Record, err = c.end(r.Last); err != nil {
		return r, err
	}
	r.History, err = b.end(ctx, r.Last)
	return r, err
}

// phases runs the fault and heal steps, with pauses before, between and after them. It returns the
// times at which the parts of the run began.
func (s scenario) phases(ctx context.Context, b *bed) (p judge.Phases, err error) {
	now := func() int64 { return time.Now().UnixNano() }
	pause := func(d time.Duration) step {
		return func(ctx context.Context, _ *bed) error { return wait(ctx, d) }
	}
	middle := step(nil)
	if s.compact {
		middle = func(ctx context.Context, b *bed) error { return b.compact(ctx) }
	}
	for _, part := range []step{
		pause(warmFor),
		func(context.Context, *bed) error { p.Before = now(); return nil },
		pause(beforeFor),
		func(context.Context, *bed) error { p.Fault = now(); return nil },
		s.fault, pause(s.length / 2), middle, pause(s.length / 2), s.heal,
		func(context.Context, *bed) error { p.Healed = now(); return nil },
		pause(cmp.Or(s.after, afterFor)),
		func(context.Context, *bed) error { p.End = now(); return nil },
	} {
		if err := part.do(ctx, b); err != nil {
			return p, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return p, nil
}

// do takes the step, if there is one.
func (s step) do(ctx context.Context, b *bed) error {
	if s == nil {
		return nil
	}
	return s(ctx, b)
}

// withTTL returns the usual load, in which leases and sessions have this TTL.
func withTTL(seconds int64) record.Plan {
	plan := usualLoad
	plan.TTL = seconds
	return plan
}
