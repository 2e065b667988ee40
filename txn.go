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
// The server evaluates the conditions and runs the ops as one step: nothing comes
// between them, and all of them have the same revision. A transaction writes no
// key twice (rpctypes.ErrDuplicateKey). [OpTxn] nests one inside another; the
// conditions of all of them are decided before the first op runs.
//
// If, Then and Else may each be called once and in this order; each may be left
// out. They panic where they are called twice or out of order. The methods are
// safe for concurrent use, but it is the order of the calls that counts.
type Txn interface {
	// If sets the conditions. The then-ops run where all of them hold, the else-ops
	// otherwise. Without conditions the then-ops run.
	If(cs ...Cmp) Txn

	// Then sets the ops to run where the conditions hold: gets, puts, deletes and
	// transactions, in this order.
	Then(ops ...Op) Txn

	// Else sets the ops to run where the conditions do not hold.
	Else(ops ...Op) Txn

	// Commit sends the transaction and blocks until it is answered or the context
	// that [KV.Txn] was given ends. TxnResponse.Succeeded says whether the
	// conditions held.
	//
	// Its errors are those of [KV]. It is sent again by itself only where it holds
	// nothing but gets, or where it is certain that no member has seen it. An op
	// that cannot stand in a transaction, and a sort the protocol does not know
	// (rpctypes.ErrInvalidSortOption), is refused before anything is sent. Each
	// call of Commit sends the transaction once more: after an error that leaves
	// open whether it was applied, only conditions keep a second one from being
	// applied twice.
	Commit() (*TxnResponse, error)
}

// txnStep is one of the methods that build a transaction, in their order.
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
	last  txnStep // 0: none yet
	parts txnParts
}

func (t *txn) If(cs ...Cmp) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stepLocked(stepIf)
	t.parts.cmps = append(t.parts.cmps, cs...)
	return t
}

func (t *txn) Then(ops ...Op) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stepLocked(stepThen)
	t.parts.thenOps = append(t.parts.thenOps, ops...)
	return t
}

func (t *txn) Else(ops ...Op) Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stepLocked(stepElse)
	t.parts.elseOps = append(t.parts.elseOps, ops...)
	return t
}

// stepLocked panics unless step is due.
func (t *txn) stepLocked(step txnStep) {
	switch {
	case t.last == step:
		panic("etcdclient: " + stepNames[step] + " is called twice on one transaction")
	case t.last > step:
		panic("etcdclient: " + stepNames[step] + " is called after " + stepNames[t.last] +
			" on one transaction")
	}
	t.last = step
}

func (t *txn) Commit() (*TxnResponse, error) {
	t.mu.Lock()
	parts := t.parts
	t.mu.Unlock()
	return t.kv.commit(t.ctx, &parts)
}
