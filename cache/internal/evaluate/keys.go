package evaluate

import (
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// Keys is the state of a range at one revision: a tree of some revision, and what was different
// from it.
type Keys struct {
	// Tree is the state at some revision.
	Tree keytree.Tree
	// Past has the keys whose pairs in the tree are not those of the state, with their pairs in the
	// state, or nil if they do not exist there.
	Past map[string]*mvccpb.KeyValue
}

// get returns the pair with a key, or nil.
func (k Keys) get(key string) *mvccpb.KeyValue {
	if kv, changed := k.Past[key]; changed {
		return kv
	}
	return k.Tree.Get(key)
}

// find returns the pairs of a range in the order of their keys, at most limit of them unless limit
// is 0. An empty end stands for the range of one key.
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
	from, to := k.Tree.Ranks(key, end)
	if limit > 0 {
		to = from + int(min(int64(to-from), limit))
	}
	return k.Tree.Slice(from, to)
}

// findPast returns all pairs of a range, in the order of their keys.
func (k Keys) findPast(key, end string) []*mvccpb.KeyValue {
	from, to := k.Tree.Ranks(key, end)
	found := slices.DeleteFunc(k.Tree.Slice(from, to), func(kv *mvccpb.KeyValue) bool {
		_, changed := k.Past[keytree.Key(kv.Key)]
		return changed
	})
	for at, kv := range k.Past {
		if kv != nil && at >= key && (end == keytree.NoEnd || at < end) {
			found = append(found, kv)
		}
	}
	sort.Sort(sortable{found, byKey})
	return found
}

// count returns how many keys a range has.
func (k Keys) count(key, end string) int64 {
	if end == "" || len(k.Past) > 0 {
		return int64(len(k.find(key, end, 0)))
	}
	from, to := k.Tree.Ranks(key, end)
	return int64(to - from)
}

func cut(kvs []*mvccpb.KeyValue, limit int64) []*mvccpb.KeyValue {
	if limit > 0 && int64(len(kvs)) > limit {
		return kvs[:limit]
	}
	return kvs
}
