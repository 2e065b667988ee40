package cache

import (
	"context"
	"iter"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// Batch is a set of changes. The batches of one Changes, applied one after another, give the state
// of the range at the Revision of the last one.
type Batch struct {
	// Revision is the revision of the state that the batch leads to.
	Revision int64
	// Changes has each changed key once, in the order of keys.
	Changes []Change
	// Full says that Changes is the whole state, as in the first batch.
	Full bool
	// Gap says that the cache had to read the range anew, because changes were compacted before it
	// saw them, or because the cluster was replaced or restored. Changes has the difference,
	// without the keys that did not change; the states between are unknown. After a restore,
	// Revision may be lower than that of the batch before.
	Gap bool
}

// Changes returns the state of the range as the first batch, and then what changes, for as long as
// the loop over it goes on. It is level-triggered: a batch leads from the state that the consumer
// knows to the newest one. So a consumer that is slow misses states between, but no key, and it
// costs the memory of one old snapshot: it delays neither the cache nor other consumers. Deletions
// carry the last value as Old.
//
// The first batch comes when the range has been read. The loop waits inside for the next one. It
// ends with an error, after which there are no batches: that of ctx when ctx ends, with what the
// cache is waiting for, or the cache's, such as ErrClosed. Compactions, outages and replaced
// clusters do not end it. It may be ranged over any number of times, each of which begins with a
// full batch.
func (c *Cache) Changes(ctx context.Context) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		var known *view
		for {
			next, err := c.await(ctx, func(v *view) bool {
				return v.synced() && (known == nil || v.last != known.last)
			})
			if err != nil {
				yield(Batch{}, err)
				return
			}
			b := between(known, next)
			known = next
			if (b.Full || b.Gap || len(b.Changes) > 0) && !yield(b, nil) {
				return
			}
		}
	}
}

// between returns the batch that leads from one view to a later one; from nil, the full batch.
func between(from, to *view) Batch {
	if from == nil {
		return Batch{Revision: to.revision, Full: true, Changes: full(to)}
	}
	b := Batch{Revision: to.revision, Gap: from.lists != to.lists}
	net, ok := replay(from.last, to.last)
	if !ok {
		net = nil
		for _, ch := range difference(from.tree, to.tree, to.revision) {
			net = append(net, ch.Change)
		}
	}
	b.Changes = net
	return b
}

// full returns all pairs of a view, as changes of keys that did not exist before.
func full(v *view) []Change {
	all := make([]Change, 0, v.tree.Len())
	v.tree.Each(0, v.tree.Len(), func(kv *pair) bool {
		all = append(all, Change{Key: keytree.Key(kv.Key), New: kv})
		return true
	})
	return all
}
