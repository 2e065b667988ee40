package endpoints

import (
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// view records which endpoints of a target were delivered to the consumer of a WatchChannel. From
// each list and each event of the server, it computes the updates to deliver next. It is used by
// one goroutine at a time.
type view struct {
	prefix string           // the target and a slash; keys that do not begin with it are ignored
	revs   map[string]int64 // the mod revision of the value last delivered for each key
}

// list returns the updates that turn the delivered endpoints into the endpoints of kvs, which has
// all keys of the target. The updates are ordered by key.
func (v *view) list(kvs []*mvccpb.KeyValue) []*Update {
	var updates []*Update
	gone := maps.Clone(v.revs)
	for _, kv := range kvs {
		key := string(kv.GetKey())
		delete(gone, key)
		if rev, ok := v.revs[key]; ok && rev == kv.GetModRevision() {
			continue
		}
		updates = v.put(updates, kv)
	}
	for key := range gone {
		updates = v.delete(updates, key)
	}
	slices.SortFunc(updates, func(a, b *Update) int { return strings.Compare(a.Key, b.Key) })
	return updates
}

// apply returns the updates for a list of events.
func (v *view) apply(events []*mvccpb.Event) []*Update {
	var updates []*Update
	for _, ev := range events {
		switch ev.GetType() {
		case mvccpb.Event_PUT:
			updates = v.put(updates, ev.GetKv())
		case mvccpb.Event_DELETE:
			updates = v.delete(updates, string(ev.GetKv().GetKey()))
		}
	}
	return updates
}

func (v *view) put(updates []*Update, kv *mvccpb.KeyValue) []*Update {
	key := string(kv.GetKey())
	if !strings.HasPrefix(key, v.prefix) {
		return updates
	}
	ep, err := decode(kv.GetValue())
	if err != nil {
		return updates
	}
	v.revs[key] = kv.GetModRevision()
	return append(updates, &Update{Op: Add, Key: key, Endpoint: ep})
}

func (v *view) delete(updates []*Update, key string) []*Update {
	if !strings.HasPrefix(key, v.prefix) {
		return updates
	}
	delete(v.revs, key)
	return append(updates, &Update{Op: Delete, Key: key})
}
