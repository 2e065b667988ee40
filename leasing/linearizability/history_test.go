//go:build unix

package linearizability

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// event is one operation of one worker on one key.
type event struct {
	Worker int    `json:"w"`
	Op     string `json:"op"` // get, put, delete, swap
	Key    string `json:"k"`
	Value  string `json:"v,omitempty"` // put, swap: the new value
	Old    string `json:"o,omitempty"` // swap: the value to replace
	// the key existed; only a get, a put with Prev, and a swap that found another value set it
	Found   bool   `json:"f,omitempty"`
	Out     string `json:"r,omitempty"` // the value that the key had, if Found
	Prev    bool   `json:"p,omitempty"` // put: it asked for the previous value
	Done    bool   `json:"d,omitempty"` // delete, swap: the key was deleted or changed
	Unknown bool   `json:"u,omitempty"` // the call failed, but may have been applied
	Start   int64  `json:"s"`           // nanoseconds, by a clock that all processes share
	End     int64  `json:"e"`
}

// register is the state of a key.
type register struct {
	exists bool
	value  string
}

// step is the Step function of model. It reports whether the operation, an event, can have had its
// result if the key had the given state. It also returns the state after the operation.
func step(state, input, _ any) (bool, any) {
	r, e := state.(register), input.(event)
	saw := register{e.Found, e.Out}
	switch e.Op {
	case "get":
		return saw == r, r
	case "put":
		return e.Unknown || !e.Prev || saw == r, register{true, e.Value}
	case "delete":
		return e.Unknown || e.Done == r.exists, register{}
	case "swap":
		if r == (register{true, e.Old}) {
			return e.Unknown || e.Done, register{true, e.Value}
		}
		return e.Unknown || !e.Done && saw == r, r
	}
	return false, r
}

var model = porcupine.Model{
	Init: func() any { return register{} },
	Step: step,
	DescribeOperation: func(input, _ any) string {
		e := input.(event)
		return e.Op + " " + e.Value + e.Out
	},
}

// check requires that the events of each key are linearizable. An operation with an unknown outcome
// may have been applied at any time after it began, or never.
func check(t *testing.T, events []event) {
	t.Helper()
	byKey := map[string][]porcupine.Operation{}
	for _, e := range events {
		if e.Unknown && e.Op == "get" {
			continue
		}
		op := porcupine.Operation{ClientId: e.Worker, Input: e, Call: e.Start, Return: e.End}
		if e.Unknown {
			op.Return = math.MaxInt64
		}
		byKey[e.Key] = append(byKey[e.Key], op)
	}
	t.Logf("%d histories, %d operations", len(byKey), len(events))
	for key, ops := range byKey {
		result, info := porcupine.CheckOperationsVerbose(model, ops, time.Minute)
		if result == porcupine.Ok {
			continue
		}
		explain(t, ops, info)
		require.Equal(t, porcupine.Ok, result, "key %q, %d operations", key, len(ops))
	}
}

// explain finds the longest linearizable order of operations, and logs the operations near the end
// of this order.
func explain(t *testing.T, ops []porcupine.Operation, info porcupine.LinearizationInfo) {
	t.Helper()
	longest := 0
	for _, partials := range info.PartialLinearizations() {
		for _, p := range partials {
			longest = max(longest, len(p))
		}
	}
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	t.Logf("%d of %d operations fit an order; those near the end of it:", longest, len(ops))
	for _, op := range ops[max(longest-20, 0):min(longest+20, len(ops))] {
		t.Logf("%+v", op.Input)
	}
}

// TestCheckerRefuses: the checker accepts linearizable histories and refuses all others.
func TestCheckerRefuses(t *testing.T) {
	put := event{Op: "put", Value: "a", Start: 1, End: 2}
	for name, tc := range map[string]struct {
		second event
		want   porcupine.CheckResult
	}{
		"stale read": {event{Op: "get", Start: 3, End: 4}, porcupine.Illegal},
		"read": {event{Op: "get", Found: true, Out: "a", Start: 3, End: 4},
			porcupine.Ok},
		"read during the write": {event{Op: "get", Start: 1, End: 4}, porcupine.Ok},
		"wrong previous value": {event{Op: "put", Prev: true, Start: 3, End: 4},
			porcupine.Illegal},
		"right previous value": {event{Op: "put", Prev: true, Found: true, Out: "a", Start: 3,
			End: 4}, porcupine.Ok},
		"delete of nothing": {event{Op: "delete", Start: 3, End: 4}, porcupine.Illegal},
		"delete":            {event{Op: "delete", Done: true, Start: 3, End: 4}, porcupine.Ok},
		"swap of another value": {event{Op: "swap", Old: "b", Done: true, Start: 3, End: 4},
			porcupine.Illegal},
		"swap not done": {event{Op: "swap", Old: "a", Found: true, Out: "a", Start: 3,
			End: 4}, porcupine.Illegal},
		"swap that saw another": {event{Op: "swap", Old: "b", Found: true, Out: "c", Start: 3,
			End: 4}, porcupine.Illegal},
		"swap": {event{Op: "swap", Old: "a", Done: true, Start: 3, End: 4},
			porcupine.Ok},
		"swap with another seen": {event{Op: "swap", Old: "b", Found: true, Out: "a", Start: 3,
			End: 4}, porcupine.Ok},
	} {
		ops := []porcupine.Operation{{Input: put, Call: put.Start, Return: put.End},
			{Input: tc.second, Call: tc.second.Start, Return: tc.second.End}}
		result := porcupine.CheckOperationsTimeout(model, ops, time.Minute)
		require.Equal(t, tc.want, result, name)
	}
}
