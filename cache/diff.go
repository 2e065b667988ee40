package cache

import (
	"bytes"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

type pair = mvccpb.KeyValue

// samePair reports whether two key-value pairs of one key are equal. It compares all fields. The
// mod revision alone does not identify a write, because a restored cluster uses revisions again.
func samePair(a, b *pair) bool {
	return a == b || a != nil && b != nil && a.ModRevision == b.ModRevision &&
		a.CreateRevision == b.CreateRevision && a.Version == b.Version && a.Lease == b.Lease &&
		bytes.Equal(a.Value, b.Value)
}

// difference returns the changes that turn the first tree into the second, in key order. A change
// has the mod revision of the new pair. A deletion gets the given revision, because its own is
// unknown.
func difference(from, to tree, revision int64) []change {
	var changes []change
	keytree.Diff(from, to, func(old, kv *pair) {
		switch {
		case kv == nil:
			ch := Change{Key: keytree.Key(old.Key), Old: old}
			changes = append(changes, change{ch, revision})
		case !samePair(old, kv):
			ch := Change{Key: keytree.Key(kv.Key), Old: old, New: kv}
			changes = append(changes, change{ch, kv.ModRevision})
		}
	})
	return changes
}

// replay returns the net change of each key in a part of the log, in key order. The part begins
// after the entry in older and ends with the entry in newer. A key is left out if it has an equal
// pair before and after the part. replay returns false if some of these entries have been dropped
// from the log.
func replay(older, newer *entry) ([]Change, bool) {
	var net []Change
	places := map[string]int{} // for each key, its index in the slice net
	for e := older; e != newer; {
		e = e.next.Load()
		if e == nil {
			return nil, false
		}
		for _, ch := range e.changes {
			if i, ok := places[ch.Key]; ok {
				net[i].Key, net[i].New = ch.Key, ch.New
				continue
			}
			places[ch.Key] = len(net)
			net = append(net, ch.Change)
		}
	}
	net = slices.DeleteFunc(net, func(ch Change) bool { return samePair(ch.Old, ch.New) })
	slices.SortFunc(net, func(a, b Change) int { return strings.Compare(a.Key, b.Key) })
	return net, true
}
