package main

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var errEarlyEnd = errors.New("the channel was closed early")

// watch follows a key through a put and a delete.
func watch(ctx context.Context, s *session) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	key := s.key("weather")
	first, err := s.client.Put(ctx, key, "rain")
	if err != nil {
		return err
	}
	s.say("put weather \"rain\"", "revision %d", first.Header.Revision)
	events := s.client.Watch(ctx, key, clientv3.WithRev(first.Header.Revision))
	s.say("watch weather from there", "begun")
	if _, err := s.client.Delete(ctx, key); err != nil {
		return err
	}
	s.say("delete weather", "done")

	seen, err := nextEvents(events, 2)
	if err != nil {
		return err
	}
	for i, want := range []string{"PUT rain", "DELETE "} {
		rev := first.Header.Revision + int64(i)
		got := fmt.Sprintf("%s %s", seen[i].Type, seen[i].Kv.Value)
		if got != want || seen[i].Kv.ModRevision != rev {
			return fmt.Errorf("want %s at revision %d, got %s at %d", want, rev, got,
				seen[i].Kv.ModRevision)
		}
		s.say("the watch sees", "%s at revision %d", seen[i].Type, rev)
	}

	stop()
	for resp := range events {
		if len(resp.Events) != 0 {
			return fmt.Errorf("want no more events, got %v", resp.Events)
		}
	}
	s.say("end the watch", "its channel is closed")
	return nil
}

// nextEvents waits for n events, which come in one response or in several; the watch's context
// bounds that.
func nextEvents(responses clientv3.WatchChan, n int) ([]*clientv3.Event, error) {
	var events []*clientv3.Event
	for resp := range responses {
		if err := resp.Err(); err != nil {
			return nil, err
		}
		events = append(events, resp.Events...)
		if len(events) == n {
			return events, nil
		}
		if len(events) > n {
			return nil, fmt.Errorf("want %d events, got %v", n, events)
		}
	}
	return nil, errEarlyEnd
}

// lease ties a key to a lease, keeps the lease alive and revokes it.
func lease(ctx context.Context, s *session) error {
	grant, err := s.client.Grant(ctx, 60)
	if err != nil {
		return err
	}
	s.say("grant a lease", "%d seconds", grant.TTL)
	if _, err := s.client.Put(ctx, s.key("visitor"), "here",
		clientv3.WithLease(grant.ID)); err != nil {
		return err
	}
	s.say("put visitor with the lease", "done")

	kept, err := s.client.KeepAlive(ctx, grant.ID)
	if err != nil {
		return err
	}
	answer, ok := <-kept
	if !ok {
		return errEarlyEnd
	}
	if answer.ID != grant.ID || answer.TTL != grant.TTL {
		return fmt.Errorf("want lease %x kept for %d seconds, got %x for %d", grant.ID, grant.TTL,
			answer.ID, answer.TTL)
	}
	s.say("keep it alive", "%d seconds from now on", answer.TTL)

	if _, err := s.client.Revoke(ctx, grant.ID); err != nil {
		return err
	}
	for range kept { // answers to what was sent before
	}
	left, err := s.client.Get(ctx, s.key("visitor"))
	if err != nil {
		return err
	}
	if len(left.Kvs) != 0 {
		return fmt.Errorf("the lease is gone and its key is not: %v", left.Kvs)
	}
	s.say("revoke it", "visitor is gone, too")
	return nil
}
