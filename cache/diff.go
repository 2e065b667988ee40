package cache

import (
	"bytes"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

type pair = mvccpb.KeyValue

// samePair reports whether two pairs of a key are equal. Both are compared as a whole, because the
// same revision means another write after the cluster was restored.
func samePair(a, b *pair) bool {
	return a == b || a != nil && b != nil && a.ModRevision == b.ModRevision &&
		a.CreateRevision == b.CreateRevision && a.Version == b.Version && a.Lease == b.Lease &&
		bytes.Equal(a.Value, b.Value)
}

// difference returns the changes that turn one tree into another, in the order of keys. A changed
// pair has the revision of the change; a deletion gets the given one.
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

// replay returns the net change of each key in the entries of the log that come after older, up to
// and including newer, in the order of keys. It returns false if some of these entries have left
// the log.
func replay(older, newer *entry) ([]Change, bool) {
	var net []Change
	places := map[string]int{} // of keys in net
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
