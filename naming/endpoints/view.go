package endpoints

import (
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// view is what a consumer has been told: it turns what the server says into what
// there is to tell next. It is used by one goroutine at a time.
type view struct {
	prefix string           // keys that do not start with it are ignored
	told   map[string]int64 // modification revision of the last value told, by key
}

func newView(prefix string) *view {
	return &view{prefix: prefix, told: map[string]int64{}}
}

// list returns the difference between a list of all keys and what was told.
func (v *view) list(kvs []*mvccpb.KeyValue) []*Update {
	var updates []*Update
	gone := make(map[string]bool, len(v.told))
	for key := range v.told {
		gone[key] = true
	}
	for _, kv := range kvs {
		key := string(kv.GetKey())
		delete(gone, key)
		if rev, ok := v.told[key]; ok && rev == kv.GetModRevision() {
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

// apply returns what the events of one revision change.
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
	v.told[key] = kv.GetModRevision()
	return append(updates, &Update{Op: Add, Key: key, Endpoint: ep})
}

func (v *view) delete(updates []*Update, key string) []*Update {
	if !strings.HasPrefix(key, v.prefix) {
		return updates
	}
	delete(v.told, key)
	return append(updates, &Update{Op: Delete, Key: key})
}
