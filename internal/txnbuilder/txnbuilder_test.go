package txnbuilder_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// txn is an interface like clientv3.Txn, with texts as conditions and operations.
type txn interface {
	If(cs ...string) txn
	Then(ops ...string) txn
	Else(ops ...string) txn
}

// recorder records its calls.
type recorder struct{ calls []string }

func (r *recorder) If(cs ...string) txn    { return r.add("if", cs) }
func (r *recorder) Then(ops ...string) txn { return r.add("then", ops) }
func (r *recorder) Else(ops ...string) txn { return r.add("else", ops) }

func (r *recorder) add(name string, parts []string) txn {
	if name == "if" && len(r.calls) > 0 {
		panic("called out of order")
	}
	return &recorder{append(r.calls, name+" "+strings.Join(parts, ","))}
}

type decorated struct {
	txnbuilder.Builder[string, string, txn]
}

func start(rewrite func([]string) ([]string, error)) *decorated {
	d := &decorated{}
	d.RewriteCmps, d.RewriteOps = rewrite, rewrite
	d.Start(&recorder{}, d)
	return d
}

func TestBuilderBuildsTheInnerTransaction(t *testing.T) {
	d := start(nil)
	require.Same(t, d, d.If("c1", "c2"), "the decorator, not the inner transaction")
	require.Same(t, d, d.Then("a").Else("b", "c"))
	parts := d.Parts()
	require.NoError(t, parts.Err)
	require.Equal(t, []string{"c1", "c2"}, parts.Cmps)
	require.Equal(t, []string{"a"}, parts.Then)
	require.Equal(t, []string{"b", "c"}, parts.Else)
	require.Equal(t, []string{"if c1,c2", "then a", "else b,c"}, parts.Inner.(*recorder).calls)
}

func TestBuilderRewritesParts(t *testing.T) {
	errBad := errors.New("bad")
	prefix := func(of []string) (to []string, err error) {
		for _, s := range of {
			if s == "" {
				return nil, errBad
			}
			to = append(to, "p/"+s)
		}
		return to, nil
	}
	d := start(prefix)
	d.If("c").Then("", "a").Else("b")
	parts := d.Parts()
	require.ErrorIs(t, parts.Err, errBad, "the first error stays")
	require.Equal(t, []string{"if p/c", "then ", "else p/b"}, parts.Inner.(*recorder).calls)
}

func TestBuilderIsUsableAfterAPanic(t *testing.T) {
	d := start(nil)
	d.Then("a")
	require.Panics(t, func() { d.If("c") })
	require.Empty(t, d.Parts().Cmps, "the mutex is unlocked, and the part was not added")
}

func TestBuilderIsSafeForConcurrentUse(t *testing.T) {
	d := start(nil)
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() { d.Then("a"); d.Parts() })
	}
	calls.Wait()
	require.Len(t, d.Parts().Then, 10)
}
