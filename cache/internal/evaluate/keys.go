package evaluate

import (
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// Keys is the state of a range at one revision. For an old state, it consists of the tree of a
// later revision, and of the pairs in which the old state differs from that tree.
type Keys struct {
	// Tree is the state of the range at the wanted revision or at a later one.
	Tree keytree.Tree
	// Past has the pairs in which the wanted revision differs from Tree, by key. An entry is the
	// pair at the wanted revision, or nil if the key did not exist then.
	Past map[string]*mvccpb.KeyValue
}

// get returns the pair of a key, or nil if the key does not exist.
func (k Keys) get(key string) *mvccpb.KeyValue {
	if kv, changed := k.Past[key]; changed {
		return kv
	}
	return k.Tree.Get(key)
}

// find returns the pairs of a range in the order of their keys. If limit is greater than 0, it
// returns at most that many pairs. An empty end means that the range is the single key.
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

// findPast does what find does without a limit, for a state whose Past is not empty.
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

// count returns how many keys of a range exist.
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
