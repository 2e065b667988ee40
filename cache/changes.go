package cache

import (
	"context"
	"iter"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// Batch is a set of changes of the range. A consumer that applies all batches of one loop over
// Changes, in order, has the state of the range at the Revision of the last batch.
type Batch struct {
	// Revision is the revision of the state that results from applying the batch.
	Revision int64
	// Changes has each changed key once, in the order of the keys.
	Changes []Change
	// Full says that Changes contains every key of the range. The first batch of a loop is full.
	Full bool
	// Gap says that the cache had to read the whole range again. This happens if changes were
	// compacted before the cache saw them, if the copy was found to be wrong (as by an audit), or
	// if the cluster was replaced or restored.
	//
	// Changes then has only the keys that differ between the state before and the state that was
	// read. The states between the two are unknown. After a restore, Revision may be lower than the
	// Revision of the previous batch.
	Gap bool
}

// Changes returns an iterator over batches. The first batch has the whole state of the range, the
// later ones have the changes. The iterator is level-triggered: each batch leads from the state
// that the consumer knows to the newest state. A deleted key comes with its last value as Old.
//
// A slow consumer may miss intermediate states, but it gets the newest state of every changed key.
// It delays neither the cache nor other consumers, and costs the memory of one old snapshot.
//
// The first batch comes when the range has been read. The loop blocks while nothing changes. It
// ends with an error in place of a batch. If ctx ends, this error wraps the error of ctx and says
// what the cache is waiting for. If the cache ends, it is the error that the cache has ended with,
// such as ErrClosed. Compactions, outages and replaced clusters do not end the loop. The iterator
// may be used any number of times, and each loop begins with a full batch.
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

// between returns the batch of changes that leads from one view to a later one. If the first view
// is nil, the batch has every key of the later view.
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

// full returns all key-value pairs of a view, as changes of keys that did not exist before.
func full(v *view) []Change {
	all := make([]Change, 0, v.tree.Len())
	v.tree.Each(0, v.tree.Len(), func(kv *pair) bool {
		all = append(all, Change{Key: keytree.Key(kv.Key), New: kv})
		return true
	})
	return all
}
