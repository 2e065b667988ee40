package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

const (
	// holdFor is how long a contender holds what it has won.
	holdFor = 3 * time.Second
	// winTimeout is how long a contender waits for the lock or the leadership before it tries again
	// with a new session.
	winTimeout = 30 * time.Second
)

// startGuard starts a contender for each endpoint, with a client and a session of its own.
func (l *load) startGuard(context.Context) error {
	if l.plan.Guard == "" {
		return nil
	}
	for i, endpoint := range l.plan.Endpoints {
		client, err := connect(l.plan, []string{endpoint})
		if err != nil {
			return err
		}
		// The goroutine ends soon after the context l.calls. The method stop waits for it.
		l.callsEnded.Go(func() {
			for l.calls.Err() == nil {
				l.contend(i, client)
			}
			_ = client.Close()
		})
	}
	return nil
}

// contend makes a session. Until the session is lost or the load stops, it acquires the lock or the
// leadership again and again, and holds it for a time.
func (l *load) contend(contender int, client *clientv3.Client) {
	// The session outlives l.calls, so a contender can still unlock or resign when the load stops.
	session, err := newSession(client, l.plan.TTL, contender)
	if err != nil {
		l.note(true, err)
		return
	}
	defer func() { _ = session.Close() }()
	for l.calls.Err() == nil {
		won, err := l.win(session)
		if err != nil {
			if l.calls.Err() == nil {
				l.note(true, err)
			}
			return
		}
		l.hold(contender, session, won.revision)
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		err = won.giveUp(ctx)
		cancel()
		l.note(true, err)
		if err != nil {
			return
		}
	}
}

// newSession makes a session. It also puts the contender's number to a key that is named after the
// session's lease.
func newSession(
	client *clientv3.Client, ttl int64, contender int,
) (*concurrency.Session, error) {
	ctx, cancel := context.WithTimeout(client.Ctx(), callTimeout)
	defer cancel()
	grant, err := client.Grant(ctx, ttl)
	if err != nil {
		return nil, err
	}
	if _, err := client.Put(ctx, record.ContenderKey(int64(grant.ID)),
		fmt.Sprint(contender)); err != nil {
		return nil, err
	}
	return concurrency.NewSession(client, concurrency.WithLease(grant.ID))
}

// won is a lock or leadership that a contender has. The function giveUp unlocks or resigns.
type won struct {
	revision int64
	giveUp   func(context.Context) error
}

// win waits until the contender has the lock or leads. It returns an error if the session is lost.
func (l *load) win(session *concurrency.Session) (won, error) {
	ctx, cancel := context.WithTimeout(l.calls, winTimeout)
	defer cancel()
	go func() { // ends with the session or ctx; nothing waits for it
		select {
		case <-session.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	if l.plan.Guard == record.Election {
		e := concurrency.NewElection(session, record.GuardPrefix+"election")
		err := e.Campaign(ctx, fmt.Sprint(session.Lease()))
		return won{e.Rev(), e.Resign}, err
	}
	m := concurrency.NewMutex(session, record.GuardPrefix+"mutex")
	if err := m.Lock(ctx); err != nil {
		return won{}, err
	}
	if m.Header() == nil {
		return won{}, errors.New("a lock without a revision")
	}
	return won{m.Header().Revision, m.Unlock}, nil
}

// hold waits for holdFor, or until the session is lost, and records this interval.
func (l *load) hold(contender int, session *concurrency.Session, revision int64) {
	h := record.Hold{Contender: contender, Start: time.Now().UnixNano(), Revision: revision}
	timer := time.NewTimer(holdFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-session.Done():
	}
	h.End = time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record.Holds = append(l.record.Holds, h)
}
