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

// difference returns the changes that make the tree to of the tree from, in the order of keys. A
// change that a pair shows has the pair's revision, a deletion has the given one.
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

// replay returns what the entries of the log after from, up to to, do together to each key, in the
// order of keys. It returns false if some of them have left the log.
func replay(from, to *entry) ([]Change, bool) {
	var net []Change
	places := map[string]int{} // of keys in net
	for e := from; e != to; {
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
