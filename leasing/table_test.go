package leasing

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// newTerm makes a table with a term that is certain.
func newTerm(t *testing.T) *table {
	tb := newTable(pfx)
	tb.startTerm(&term{lease: 1, until: time.Now().Add(time.Hour), end: &clientv3.KeepAliveEnd{},
		ctx: t.Context()})
	return tb
}

// hold makes a held tenancy.
func hold(t *testing.T, tb *table, key, value string, rev int64) *tenancy {
	t.Helper()
	tn := tb.begin(key)
	require.NotNil(t, tn)
	tb.acquired(tn, rev, keptValue(key, value, rev))
	return tn
}

func keptValue(key, value string, rev int64) *kept {
	return &kept{kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: rev},
		rev: rev}
}

// seen returns what a read from memory gives, "" for none.
func seen(tb *table, key string) string {
	resp, _ := tb.look(key, nil)
	if resp == nil {
		return ""
	}
	return string(resp.Kvs[0].Value)
}

func TestTableAnswersOnlyWhileNothingIsUnderWay(t *testing.T) {
	tb := newTerm(t)
	w := writes{keys: []string{"k"}}
	tn := tb.begin("k")
	require.Nil(t, tb.begin("k"), "a key has one tenancy")
	_, pending := tb.look("k", nil)
	require.Same(t, tn, pending)
	_, change := tb.beginWrite(w)
	require.Len(t, change, 1, "writes wait until it is settled")
	tb.acquired(tn, 5, keptValue("k", "v5", 5))
	<-change[0]
	require.Equal(t, "v5", seen(tb, "k"))

	first, change := tb.beginWrite(w)
	require.Nil(t, change)
	require.Equal(t, []*tenancy{tn}, first)
	second, _ := tb.beginWrite(w)
	require.Empty(t, seen(tb, "k"))
	tb.endWrite(second, []*kept{keptValue("k", "v7", 7)})
	require.Empty(t, seen(tb, "k"), "the other one may have been applied too")
	tb.endWrite(first, []*kept{keptValue("k", "v6", 6)})
	require.Equal(t, "v7", seen(tb, "k"), "whichever answer comes first")

	refused, _ := tb.beginWrite(w)
	tb.endWrite(refused, nil)
	require.Equal(t, "v7", seen(tb, "k"))
	lost, _ := tb.beginWrite(w)
	tb.endWrite(lost, []*kept{nil})
	require.Empty(t, seen(tb, "k"))
	require.Error(t, tn.ctx.Err(), "it is to leave")
	_, change = tb.beginWrite(w)
	require.Len(t, change, 1)
	tb.finish(tn)
	<-change[0]
	tb.tenants.Done()
	require.Nil(t, tb.begin("k"), "the key rests")
}

func TestTableForgetsWithTheTerm(t *testing.T) {
	tb := newTerm(t)
	held, settling := hold(t, tb, "held", "v", 5), tb.begin("settling")
	tb.endTerm()
	require.Empty(t, seen(tb, "held"))
	<-held.over
	<-settling.over
	require.Nil(t, tb.begin("new"))
	tb.acquired(settling, 6, keptValue("settling", "v", 6)) // too late
	require.Empty(t, seen(tb, "settling"))
	tb.finish(held)
	tb.finish(settling)
	require.Empty(t, tb.tenancies)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	tb.startTerm(&term{until: time.Now(), end: &clientv3.KeepAliveEnd{}, ctx: over})
	hold(t, tb, "uncertain", "v", 7)
	require.Empty(t, seen(tb, "uncertain"))
}

func TestTableLeavesRanges(t *testing.T) {
	tb := newTerm(t)
	in, out := hold(t, tb, "b", "v", 5), hold(t, tb, "d", "v", 6)
	w := writes{ranges: []keyRange{{pfx + "a", pfx + "c"}}}
	_, change := tb.beginWrite(w)
	require.Len(t, change, 1)
	require.Empty(t, seen(tb, "b"))
	require.Equal(t, "v", seen(tb, "d"))
	tb.finish(in)
	<-change[0]
	own, change := tb.beginWrite(w)
	require.Nil(t, change)
	require.Empty(t, own)
	require.NoError(t, out.ctx.Err())

	lift := tb.bar(w.ranges)
	require.Nil(t, tb.begin("bb"), "in a range that is being written")
	require.NotNil(t, tb.begin("e"))
	lift()
	require.NotNil(t, tb.begin("bb"))
}

// TestTableForgetsRests: keys that rested do not pile up.
func TestTableForgetsRests(t *testing.T) {
	tb := newTerm(t)
	for i := range 3 * minSweep {
		key := fmt.Sprint(i)
		tb.finish(hold(t, tb, key, "v", 5))
		tb.rests[key] = time.Now().Add(-time.Second)
	}
	require.LessOrEqual(t, len(tb.rests), minSweep)
}
