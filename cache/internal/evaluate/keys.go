package evaluate

import (
	"sort"

	"github.com/tidwall/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Tree is the content of a range, by key.
type Tree = btree.Map[string, *mvccpb.KeyValue]

// Keys is the state of a range at one revision: a tree, and what was different from it.
type Keys struct {
	// Tree is the state at some revision.
	Tree *Tree
	// Past has the keys that the tree has from a later revision, or has not; nil stands for a key
	// that did not exist.
	Past map[string]*mvccpb.KeyValue
}

// endOfKeys is the end of a range that has none.
const endOfKeys = "\x00"

// within reports whether a key lies before the end of a range.
func within(key, end string) bool { return end == endOfKeys || key < end }

// get returns the pair with a key, or nil.
func (k Keys) get(key string) *mvccpb.KeyValue {
	if kv, changed := k.Past[key]; changed {
		return kv
	}
	kv, _ := k.Tree.Get(key)
	return kv
}

// find returns the pairs of a range in the order of their keys, up to a limit unless that is 0. An
// empty end means one key.
func (k Keys) find(key, end string, limit int64) []*mvccpb.KeyValue {
	if end == "" {
		if kv := k.get(key); kv != nil {
			return []*mvccpb.KeyValue{kv}
		}
		return nil
	}
	if len(k.Past) > 0 {
		return cut(k.findPast(key, end), limit)
	}
	size := k.count(key, end)
	if limit > 0 {
		size = min(size, limit)
	}
	found := make([]*mvccpb.KeyValue, 0, size)
	k.Tree.Ascend(key, func(at string, kv *mvccpb.KeyValue) bool {
		if !within(at, end) || limit > 0 && int64(len(found)) == limit {
			return false
		}
		found = append(found, kv)
		return true
	})
	return found
}

// findPast returns all pairs of a range, in the order of their keys.
func (k Keys) findPast(key, end string) []*mvccpb.KeyValue {
	var found []*mvccpb.KeyValue
	k.Tree.Ascend(key, func(at string, kv *mvccpb.KeyValue) bool {
		if !within(at, end) {
			return false
		}
		if _, changed := k.Past[at]; !changed {
			found = append(found, kv)
		}
		return true
	})
	for at, kv := range k.Past {
		if kv != nil && at >= key && within(at, end) {
			found = append(found, kv)
		}
	}
	sort.Sort(sortable{found, byKey})
	return found
}

// count returns how many keys a range has.
func (k Keys) count(key, end string) int64 {
	switch {
	case end == "" || len(k.Past) > 0:
		return int64(len(k.find(key, end, 0)))
	case end == endOfKeys:
		return int64(k.Tree.Len() - k.rank(key))
	default:
		return int64(max(0, k.rank(end)-k.rank(key)))
	}
}

// rank returns how many keys of the tree are lower than key.
func (k Keys) rank(key string) int {
	return sort.Search(k.Tree.Len(), func(i int) bool {
		at, _, _ := k.Tree.GetAt(i)
		return at >= key
	})
}

func cut(kvs []*mvccpb.KeyValue, limit int64) []*mvccpb.KeyValue {
	if limit > 0 && int64(len(kvs)) > limit {
		return kvs[:limit]
	}
	return kvs
}
