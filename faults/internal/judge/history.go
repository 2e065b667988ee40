package judge

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// searchFor is how long the search for an order of a key's operations may take.
const searchFor = 10 * time.Second

// register is the model by which porcupine checks the operations on a register key. Its state is
// the key's value, which is "" at first.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		value, op := state.(string), input.(record.Op)
		switch op.Kind {
		case "get":
			return op.Seen == value, value
		case "put":
			return true, op.Value
		case "swap":
			if value == op.Old {
				return op.Done || op.Unknown, op.Value
			}
			return !op.Done, value
		}
		return false, value
	},
}

// Linearizable returns porcupine's verdict on the operations on each register: the worst result of
// all registers (Ok, Unknown or Illegal), or "" without operations. If the client got an error from
// an operation, the history shows whether the members have applied it. In this case they can have
// applied it at any time after the operation began.
func Linearizable(h History, ops []record.Op) porcupine.CheckResult {
	applied := map[string]bool{}
	for _, c := range h {
		applied[c.Value] = true
	}
	byKey := map[string][]porcupine.Operation{}
	for _, op := range ops {
		o := porcupine.Operation{ClientId: op.Worker, Input: op, Call: op.Start, Return: op.End}
		if op.Unknown {
			if op.Kind == "get" || !applied[op.Value] {
				continue
			}
			o.Return = math.MaxInt64
		}
		byKey[op.Key] = append(byKey[op.Key], o)
	}
	var worst porcupine.CheckResult
	for _, ops := range byKey {
		switch result := porcupine.CheckOperationsTimeout(register, ops, searchFor); result {
		case porcupine.Illegal:
			return result
		case porcupine.Unknown:
			worst = result
		default:
			if worst == "" {
				worst = result
			}
		}
	}
	return worst
}
