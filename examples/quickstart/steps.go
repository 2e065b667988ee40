package main

import (
	"context"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	stepTimeout    = 10 * time.Second // far more than a healthy server needs
	cleanUpTimeout = time.Second
)

// session is what the steps share.
type session struct {
	client *clientv3.Client
	out    io.Writer
	prefix string // of every key that the session writes
}

// A step is one thing to show. It returns an error where an answer is not what it must be.
type step struct {
	title string
	run   func(ctx context.Context, s *session) error
}

// steps are the session, in order. Each leaves the keys that the next begin with.
var steps = []step{
	{"Put and get", putAndGet},
	{"Get a range", getRange},
	{"Compare and swap", compareAndSwap},
	{"Watch", watch},
	{"Lease", lease},
	{"Delete", deleteAll},
}

func (s *session) run(ctx context.Context, step step) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return step.run(ctx, s)
}

// say prints what was asked and what was answered.
func (s *session) say(asked, format string, answered ...any) {
	fmt.Fprintf(s.out, "  %-34s %s\n", asked, fmt.Sprintf(format, answered...))
}

func (s *session) key(name string) string { return s.prefix + name }

func putAndGet(ctx context.Context, s *session) error {
	put, err := s.client.Put(ctx, s.key("greeting"), "hello")
	if err != nil {
		return err
	}
	s.say(`put greeting "hello"`, "revision %d", put.Header.Revision)

	got, err := s.client.Get(ctx, s.key("greeting"))
	if err != nil {
		return err
	}
	if got.Count != 1 || string(got.Kvs[0].Value) != "hello" ||
		got.Kvs[0].ModRevision != put.Header.Revision {
		return fmt.Errorf("put hello at revision %d, got %v", put.Header.Revision, got.Kvs)
	}
	s.say("get greeting", "%q, written at revision %d", got.Kvs[0].Value, got.Kvs[0].ModRevision)

	none, err := s.client.Get(ctx, s.key("nothing"))
	if err != nil {
		return err
	}
	if len(none.Kvs) != 0 {
		return fmt.Errorf("a key that was never put has the value %q", none.Kvs[0].Value)
	}
	s.say("get nothing", "no such key")
	return nil
}

func getRange(ctx context.Context, s *session) error {
	planets := []string{"earth", "mars", "venus"}
	for _, p := range []string{"venus", "earth", "mars"} {
		if _, err := s.client.Put(ctx, s.key("planet/"+p), p); err != nil {
			return err
		}
		s.say("put planet/"+p, "done")
	}
	got, err := s.client.Get(ctx, s.key("planet/"), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	var names []string
	for _, kv := range got.Kvs {
		names = append(names, string(kv.Value))
	}
	if fmt.Sprint(names) != fmt.Sprint(planets) {
		return fmt.Errorf("want %v in the order of the keys, got %v", planets, names)
	}
	s.say("get planet/ with its prefix", "%v", names)

	newest, err := s.client.Get(ctx, s.key("planet/"), clientv3.WithLastRev()...)
	if err != nil {
		return err
	}
	if len(newest.Kvs) != 1 || string(newest.Kvs[0].Value) != "mars" || !newest.More {
		return fmt.Errorf("want mars as the newest of more than one, got %v (more: %t)", newest.Kvs,
			newest.More)
	}
	s.say("get the newest planet", "%s, one of %d", newest.Kvs[0].Value, newest.Count)
	return nil
}

// compareAndSwap lets two writers that read the same revision change a key: the second one is told.
func compareAndSwap(ctx context.Context, s *session) error {
	key := s.key("greeting")
	read, err := s.client.Get(ctx, key)
	if err != nil {
		return err
	}
	if len(read.Kvs) != 1 {
		return fmt.Errorf("want one greeting, got %d", len(read.Kvs))
	}
	seen := read.Kvs[0].ModRevision
	swap := func(value string) (*clientv3.TxnResponse, error) {
		return s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", seen)).
			Then(clientv3.OpPut(key, value)).
			Else(clientv3.OpGet(key)).
			Commit()
	}

	first, err := swap("good morning")
	if err != nil {
		return err
	}
	if !first.Succeeded {
		return fmt.Errorf("the swap failed although the key has not changed since revision %d", seen)
	}
	s.say(fmt.Sprintf("swap, if still at revision %d", seen), "done at revision %d",
		first.Header.Revision)

	second, err := swap("good evening")
	if err != nil {
		return err
	}
	if second.Succeeded {
		return fmt.Errorf("a swap succeeded at revision %d, long after %d", first.Header.Revision,
			seen)
	}
	kvs := second.Responses[0].GetResponseRange().GetKvs()
	if len(kvs) != 1 || string(kvs[0].Value) != "good morning" {
		return fmt.Errorf("want good morning, got %v", kvs)
	}
	s.say(fmt.Sprintf("swap, if still at revision %d", seen), "refused: %q was first", kvs[0].Value)
	return nil
}

func deleteAll(ctx context.Context, s *session) error {
	deleted, err := s.client.Delete(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	if deleted.Deleted != 4 || len(deleted.PrevKvs) != 4 {
		return fmt.Errorf("want 4 keys deleted, got %d with %d former values", deleted.Deleted,
			len(deleted.PrevKvs))
	}
	s.say("delete all", "%d keys at revision %d", deleted.Deleted, deleted.Header.Revision)

	left, err := s.client.Get(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if left.Count != 0 {
		return fmt.Errorf("%d keys are left", left.Count)
	}
	s.say("count what is left", "%d", left.Count)
	return nil
}

// cleanUp removes what a session that was cut short has written, as far as the servers still
// answer. The error that cut it short is the one to report.
func (s *session) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	_, _ = s.client.Delete(ctx, s.prefix, clientv3.WithPrefix())
}
