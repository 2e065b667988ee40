package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const (
	prefix  = "examples/controller/"
	desired = prefix + "desired/" // what users want: a key for each object
	actual  = prefix + "actual/"  // what the controller has made
)

var errNotLeading = errors.New("another instance leads")

// controller makes the actual objects what the desired ones are. Several instances may run: the
// one that leads works.
type controller struct {
	name   string
	cache  *cache.Cache // of all keys below prefix, those of the election included
	leader *concurrency.Election
	out    io.Writer
}

// run does the work of the leader until ctx or the cache ends, or leadership is lost.
func (c *controller) run(ctx context.Context) error {
	// What this instance decides on has everything that leaders before it have done.
	if _, err := c.cache.AtLeast(ctx, c.leader.Rev()); err != nil {
		return err
	}
	// The first batch has all objects, the others those that have changed. An error ends this
	// leadership. The next one begins with all objects, and so repeats what has failed.
	for batch, err := range c.cache.Changes(ctx) {
		if err != nil {
			return err
		}
		for _, change := range batch.Changes {
			name, ok := objectOf(change.Key)
			if !ok {
				continue
			}
			if err := c.reconcile(ctx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return ctx.Err()
}

// reconcile makes one object what it should be. It looks at the newest state and not at what has
// changed, so it may be called too often and for any reason. Its reads come from memory. Its write
// is one transaction, which is not applied if this instance leads no longer or another has changed
// what was read; if the object is as it should be, nothing is sent.
func (c *controller) reconcile(ctx context.Context, name string) error {
	done := ""
	_, err := c.cache.Update(ctx, func(tx *cache.Tx) error {
		leader, ok := tx.Get(c.leader.Key())
		if !ok || leader.CreateRevision != c.leader.Rev() {
			return errNotLeading
		}
		want, wanted := tx.Get(desired + name)
		is, exists := tx.Get(actual + name)
		switch {
		case wanted && !exists:
			done = "created " + name
			tx.Put(actual+name, string(want.Value))
		case wanted && string(is.Value) != string(want.Value):
			done = "changed " + name
			tx.Put(actual+name, string(want.Value))
		case !wanted && exists:
			done = "deleted " + name
			tx.Delete(actual + name)
		default:
			done = ""
		}
		return nil
	})
	if err == nil && done != "" {
		fmt.Fprintf(c.out, "%s: %s\n", c.name, done)
	}
	return err
}

// objectOf returns the name of the object that a key belongs to.
func objectOf(key string) (name string, ok bool) {
	if name, ok = strings.CutPrefix(key, desired); ok {
		return name, true
	}
	return strings.CutPrefix(key, actual)
}
