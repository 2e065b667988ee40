package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// ttl is how many seconds an instance may fail to renew its lease before another one takes over.
const ttl = 60

// Scheduler does a job once in each interval. Several instances may run; only the leader does the
// job. If an instance dies during a job, that job is not repeated.
type Scheduler struct {
	Client *clientv3.Client
	Prefix string        // all keys of the scheduler begin with it
	Every  time.Duration // the interval; jobs are due at multiples of it
	Job    func(ctx context.Context, due time.Time)
	Log    io.Writer
}

// Run waits until this instance is the leader, and then does the job whenever it is due. If
// leadership is lost, Run tries again. It returns when ctx ends.
func (s *Scheduler) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.lead(ctx); ctx.Err() == nil {
			fmt.Fprintln(s.Log, "leadership was lost:", err)
			wait(ctx, time.Second)
		}
	}
}

// lead waits until this instance is the leader. After that it does jobs until ctx ends, the session
// ends or a job fails. It returns the reason as an error.
func (s *Scheduler) lead(ctx context.Context) error {
	lease, err := s.Client.Grant(ctx, ttl)
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(s.Client, concurrency.WithLease(lease.ID))
	if err != nil {
		return err
	}
	defer session.Close() // lets the next instance lead at once
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(session.Ctx(), func() { cancel(context.Cause(session.Ctx())) })()

	election := concurrency.NewElection(session, s.Prefix+"/leader")
	if err := election.Campaign(ctx, ""); err != nil {
		return err
	}
	due, err := s.firstDue(ctx)
	for err == nil {
		if wait(ctx, time.Until(due)); ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err = s.do(ctx, election, due)
		due = due.Add(s.Every)
	}
	return err
}

// firstDue returns when the first job of this leader is due. That is one interval after the last
// job of any earlier leader, and may be in the past. Before the very first job, it is the next
// multiple of the interval.
func (s *Scheduler) firstDue(ctx context.Context) (time.Time, error) {
	resp, err := s.Client.Get(ctx, s.Prefix+"/last")
	if err != nil {
		return time.Time{}, err
	}
	if len(resp.Kvs) == 0 {
		return time.Now().UTC().Truncate(s.Every).Add(s.Every), nil
	}
	last, err := time.Parse(time.RFC3339, string(resp.Kvs[0].Value))
	return last.Add(s.Every), err
}

var errNotLeading = errors.New("another instance leads")

// do does one job. Before that it records the job as done, in a transaction that fails if this
// instance is no longer the leader. So an instance that was suspended, and does not know that
// another one leads, does nothing.
func (s *Scheduler) do(ctx context.Context, leader *concurrency.Election, due time.Time) error {
	resp, err := s.Client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(leader.Key()), "=", leader.Rev())).
		Then(clientv3.OpPut(s.Prefix+"/last", due.Format(time.RFC3339))).
		Commit()
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		return errNotLeading
	}
	s.Job(ctx, due)
	return nil
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
