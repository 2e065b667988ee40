// Package randomget makes random reads with any mix of the options of Get. Tests use them to
// compare the responses of two KVs.
package randomget

import (
	"fmt"
	"math/rand/v2"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Maker generates random requests that read the keys "k00" to "k59" under a prefix. It sends none.
type Maker struct {
	Rand      *rand.Rand
	Prefix    string
	Revisions []int64 // Next picks from them for WithRev, WithMinModRev, and similar options
}

// Get is one random read.
type Get struct {
	Key  string
	Opts []clientv3.OpOption
	Text string // describes the read in a test's failure message
	Rev  int64  // the revision of WithRev; 0 without that option
}

// Fill writes random keys, with many versions, equal values, and leases. It returns a Maker that
// reads these keys. The function do must carry out a write and return its revision.
func Fill(
	rnd *rand.Rand, prefix string, do func(clientv3.Op) (rev int64),
	lease clientv3.LeaseID,
) *Maker {
	m := &Maker{Rand: rnd, Prefix: prefix}
	for range 300 {
		op := clientv3.OpPut(m.key(), fmt.Sprint(rnd.IntN(8)))
		switch rnd.IntN(6) {
		case 0:
			op = clientv3.OpDelete(m.key())
		case 1, 2:
			op = clientv3.OpPut(m.key(), fmt.Sprint(rnd.IntN(8)), clientv3.WithLease(lease))
		}
		m.Revisions = append(m.Revisions, do(op))
	}
	return m
}

func (m *Maker) key() string { return fmt.Sprintf("%sk%02d", m.Prefix, m.Rand.IntN(60)) }

func (m *Maker) rev() int64 { return m.Revisions[m.Rand.IntN(len(m.Revisions))] }

// Next returns a new random read.
func (m *Maker) Next() Get {
	g := Get{Key: m.key()}
	add := func(odds int, opt func() clientv3.OpOption) {
		if m.Rand.IntN(odds) == 0 {
			g.Opts = append(g.Opts, opt())
		}
	}
	m.addRange(&g)
	m.addBounds(&g)
	add(3, func() clientv3.OpOption { return clientv3.WithLimit(m.Rand.Int64N(70)) })
	add(4, clientv3.WithKeysOnly)
	add(8, clientv3.WithCountOnly)
	add(3, clientv3.WithSerializable)
	add(2, func() clientv3.OpOption {
		target := clientv3.SortTarget(m.Rand.IntN(5))
		return clientv3.WithSort(target, clientv3.SortOrder(m.Rand.IntN(3)))
	})
	add(3, func() clientv3.OpOption {
		g.Rev = m.rev()
		return clientv3.WithRev(g.Rev)
	})
	op := clientv3.OpGet(g.Key, g.Opts...)
	g.Text = fmt.Sprintf("Get %q, %+v", g.Key, op)
	return g
}

func (m *Maker) addRange(g *Get) {
	tops := [][]clientv3.OpOption{clientv3.WithFirstCreate(), clientv3.WithLastCreate(),
		clientv3.WithFirstKey(), clientv3.WithLastKey(), clientv3.WithFirstRev(),
		clientv3.WithLastRev()}
	switch m.Rand.IntN(8) {
	case 0, 1:
	case 4:
		g.Key = g.Key[:len(m.Prefix)+m.Rand.IntN(3)]
		g.Opts = append(g.Opts, tops[m.Rand.IntN(len(tops))]...)
	case 2:
		g.Key = g.Key[:len(m.Prefix)+m.Rand.IntN(2)]
		g.Opts = append(g.Opts, clientv3.WithPrefix())
	case 3:
		g.Opts = append(g.Opts, clientv3.WithFromKey())
	default:
		end := m.key()
		if end < g.Key && m.Rand.IntN(2) == 0 {
			g.Key, end = end, g.Key
		}
		if strings.HasSuffix(g.Key, "0") {
			g.Key = m.Prefix + "k"
		}
		g.Opts = append(g.Opts, clientv3.WithRange(end))
	}
}

func (m *Maker) addBounds(g *Get) {
	bounds := []func(int64) clientv3.OpOption{clientv3.WithMinModRev, clientv3.WithMaxModRev,
		clientv3.WithMinCreateRev, clientv3.WithMaxCreateRev}
	for _, bound := range bounds {
		if m.Rand.IntN(8) == 0 {
			g.Opts = append(g.Opts, bound(m.rev()))
		}
	}
}
