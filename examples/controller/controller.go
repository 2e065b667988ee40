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
	desired = prefix + "desired/" // what users want: one key for each object
	actual  = prefix + "actual/"  // what the controller has made: one key for each object
)

var errNotLeading = errors.New("another instance leads")

// controller makes the actual objects equal to the desired objects. Several instances may run; only
// the leader makes changes.
type controller struct {
	name   string
	cache  *cache.Cache // has all keys below prefix, including the election's
	leader *concurrency.Election
	out    io.Writer
}

// run does the work of the leader. It returns the reason when ctx or the cache ends, or when
// leadership is lost.
func (c *controller) run(ctx context.Context) error {
	// Wait until the cache has all changes that earlier leaders have made.
	if _, err := c.cache.AtLeast(ctx, c.leader.Rev()); err != nil {
		return err
	}
	// The first batch has all objects, and each later batch has the objects that have changed.
	// After an error, this instance gives up leadership. The next leader begins with all objects,
	// and so repeats the work that has failed.
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

// reconcile makes one actual object equal to the desired one. It compares the newest values of both
// and does not depend on what has changed, so it may be called at any time, and more often than
// necessary. Its reads come from the cache. Its write is one transaction. If another client has
// changed a key that was read, the leader's key included, the transaction is not applied, and the
// function passed to Update runs again with the new values. If nothing has to change, nothing is
// sent.
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

// objectOf returns the name of the object to which a key belongs. ok is false for keys of the
// election.
func objectOf(key string) (name string, ok bool) {
	if name, ok = strings.CutPrefix(key, desired); ok {
		return name, true
	}
	return strings.CutPrefix(key, actual)
}
