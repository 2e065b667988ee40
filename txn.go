package clientv3

import (
	"context"
	"sync"
)

// Txn builds one transaction and sends it:
//
//	resp, err := kv.Txn(ctx).
//		If(Compare(Value(key), "=", old)).
//		Then(OpPut(key, new)).
//		Else(OpGet(key)).
//		Commit()
//
// The server evaluates the conditions and runs the ops in one step: no other write comes between
// them, and all writes of a transaction have one revision. If a transaction writes a key twice, the
// server refuses it with rpctypes.ErrDuplicateKey. [OpTxn] nests one transaction in another; the
// server evaluates the conditions of both before it runs the first op.
//
// If, Then and Else may each be left out. They panic if one of them is called twice, or if they are
// called in another order. All methods are safe for concurrent use.
type Txn interface {
	// If sets the conditions. If all conditions hold, or there are none, the then-ops run.
	// Otherwise the else-ops run.
	If(cs ...Cmp) Txn

	// Then sets the ops that run, in this order, if the conditions hold: gets, puts, deletes and
	// transactions.
	Then(ops ...Op) Txn

	// Else sets the ops that run, in this order, if the conditions do not hold.
	Else(ops ...Op) Txn

	// Commit sends the transaction and blocks until it is answered or the context of [KV.Txn] ends.
	// TxnResponse.Succeeded says whether the conditions held.
	//
	// Its errors are those of [KV]. Commit sends nothing and returns an error if the transaction
	// holds a watch, an empty Op, or a sort that the protocol does not know
	// (rpctypes.ErrInvalidSortOption).
	//
	// The transaction is sent again only if it has nothing but gets, or if it was certainly not
	// applied. A second call of Commit sends the transaction a second time. After an error that
	// leaves open whether the transaction was applied, the second call may apply it again, unless
	// its conditions prevent that.
	Commit() (*TxnResponse, error)
}

// txnStep is one of the methods If, Then and Else. The constants are in the order in which the
// methods may be called.
type txnStep uint8

const (
	stepIf txnStep = iota + 1
	stepThen
	stepElse
)

var stepNames = [...]string{stepIf: "If", stepThen: "Then", stepElse: "Else"}

// txn is the Txn of a kv.
type txn struct {
	// read-only after kv.Txn
	kv  *kv
	ctx context.Context

	// guarded by mu
	mu    sync.Mutex
	last  txnStep // the last method called; 0: none was called
	parts txnParts
}

func (t *txn) If(cs ...Cmp) Txn   { return add(t, stepIf, &t.parts.cmps, cs) }
func (t *txn) Then(ops ...Op) Txn { return add(t, stepThen, &t.parts.thenOps, ops) }
func (t *txn) Else(ops ...Op) Txn { return add(t, stepElse, &t.parts.elseOps, ops) }

// add is the body of If, Then and Else; step says which of them was called. It appends the method's
// arguments, args, to list, and returns t. It panics if one of the three is called twice, or if
// they are called in another order.
func add[P any](t *txn, step txnStep, list *[]P, args []P) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.last == step:
		panic("etcdclient: " + stepNames[step] + " is called twice on one transaction")
	case t.last > step:
		panic("etcdclient: " + stepNames[step] + " is called after " + stepNames[t.last] +
			" on one transaction")
	}
	t.last = step
	*list = append(*list, args...)
	return t
}

func (t *txn) Commit() (*TxnResponse, error) {
	t.mu.Lock()
	parts := t.parts
	t.mu.Unlock()
	return t.kv.commit(t.ctx, &parts)
}
