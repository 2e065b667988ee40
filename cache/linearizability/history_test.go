package linearizability

import (
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// event is one operation of one worker on one key.
type event struct {
	Worker  int
	Op      string // get, put, delete or update, which replaces the value that it has read
	How     string // the method that was called, for the messages of failures
	Key     string
	Value   string // put, update: the new value
	Saw     string // get, update: the value that was read; "" if there was no key
	Unknown bool   // the operation has failed, but may have been applied
	Start   int64  // nanoseconds since the trial began
	End     int64
}

// step applies an event to one key. The parameter state is the value of the key before the event,
// and the second result is the value after it. The first result reports whether the event could
// have had its result at that value.
func step(state, input, _ any) (bool, any) {
	value, e := state.(string), input.(event)
	switch e.Op {
	case "get":
		return e.Saw == value, value
	case "put":
		return true, e.Value
	case "delete":
		return true, ""
	case "update":
		if e.Saw == value {
			return true, e.Value
		}
		return e.Unknown, value
	}
	return false, value
}

var model = porcupine.Model{Init: func() any { return "" }, Step: step}

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
		longest := 0
		for _, partials := range info.PartialLinearizations() {
			for _, p := range partials {
				longest = max(longest, len(p))
			}
		}
		for _, op := range ops[max(longest-20, 0):min(longest+20, len(ops))] {
			t.Logf("%+v", op.Input)
		}
		require.Equal(t, porcupine.Ok, result, "key %q: %d of %d operations fit an order", key,
			longest, len(ops))
	}
}

// TestCheckerRefuses shows that the checker refuses histories that are not linearizable. Otherwise,
// the histories that it accepts would show nothing.
func TestCheckerRefuses(t *testing.T) {
	put := event{Op: "put", Value: "a", Start: 1, End: 2}
	for name, row := range map[string]struct {
		second event
		want   porcupine.CheckResult
	}{
		"stale read":            {event{Op: "get", Start: 3, End: 4}, porcupine.Illegal},
		"read":                  {event{Op: "get", Saw: "a", Start: 3, End: 4}, porcupine.Ok},
		"read during the write": {event{Op: "get", Start: 1, End: 4}, porcupine.Ok},
		"update of a stale value": {event{Op: "update", Value: "b", Start: 3, End: 4},
			porcupine.Illegal},
		"update": {event{Op: "update", Saw: "a", Value: "b", Start: 3, End: 4}, porcupine.Ok},
		"update that may not have been applied": {
			event{Op: "update", Value: "b", Unknown: true, Start: 3, End: 4}, porcupine.Ok},
	} {
		ops := []porcupine.Operation{{Input: put, Call: put.Start, Return: put.End},
			{Input: row.second, Call: row.second.Start, Return: row.second.End}}
		result := porcupine.CheckOperationsTimeout(model, ops, time.Minute)
		require.Equal(t, row.want, result, name)
	}
}
