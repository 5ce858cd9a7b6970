// Holds what clients of one order saw at the same time against a register that knows no Kafka: each command takes effect
// once, at one moment between its call and its answer, and a read shows a state that the order really had.
//
// It reads a history, one operation a line, and prints what it found. Exit code 1: the history cannot be explained. Exit
// code 3: that could not be told in time.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a client asked for, and what it was answered. Times are in microseconds of one clock.
type operation struct {
	Order  string `json:"order"`
	Client int    `json:"client"`
	// "create" and "set" are commands, "ask" asks after the outcome of one, "read" reads with a token.
	Kind      string `json:"kind"`
	CommandID string `json:"commandId"`
	// What a command sets, or what a read showed.
	Value    string `json:"value"`
	Expected *int   `json:"expected"`
	// The version that the token of a read promises.
	AtLeast int    `json:"atLeast"`
	Call    int64  `json:"call"`
	Return  *int64 `json:"return"`
	// "accepted", "rejected", "unknown"; of a question also "never sent"; of a read "shown".
	Answer  string `json:"answer"`
	Version int    `json:"version"`
}

type outcome struct {
	accepted bool
	version  int
}

// An order, as a register with a version that remembers what became of each command. It is never changed, only replaced.
type register struct {
	version  int
	value    string
	outcomes map[string]outcome
	// Of the outcomes, so that two states are compared in one step.
	digest uint64
}

func step(state, input, _ interface{}) (bool, interface{}) {
	order, op := state.(register), input.(operation)
	switch op.Kind {
	case "read":
		isShown := op.Version == order.version && (op.Version == 0 || op.Value == order.value)
		return isShown && op.Version >= op.AtLeast, order
	case "ask":
		known, isKnown := order.outcomes[op.CommandID]
		if op.Answer == "unknown" {
			return true, order
		}
		if op.Answer == "never sent" {
			return !isKnown, order
		}
		return isKnown && matches(op, known), order
	default:
		known, isKnown := order.outcomes[op.CommandID]
		if !isKnown {
			order, known = decide(order, op)
		}
		return matches(op, known), order
	}
}

func decide(order register, op operation) (register, outcome) {
	isExpected := op.Expected == nil || *op.Expected == order.version
	isAllowed := (op.Kind == "create") == (order.version == 0)
	decided := outcome{accepted: isExpected && isAllowed, version: order.version}
	if decided.accepted {
		decided.version++
		order.version, order.value = decided.version, op.Value
	}
	outcomes := make(map[string]outcome, len(order.outcomes)+1)
	for id, each := range order.outcomes {
		outcomes[id] = each
	}
	outcomes[op.CommandID] = decided
	order.outcomes = outcomes
	order.digest ^= digestOf(fmt.Sprint(op.CommandID, decided))
	return order, decided
}

// An answer that did not come may have been any.
func matches(op operation, decided outcome) bool {
	return op.Answer == "unknown" || (op.Answer == "accepted") == decided.accepted && op.Version == decided.version
}

func digestOf(text string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(text))
	return hash.Sum64()
}

var model = porcupine.Model{
	Init: func() interface{} { return register{} },
	Step: step,
	Equal: func(a, b interface{}) bool {
		one, other := a.(register), b.(register)
		return one.version == other.version && one.value == other.value && one.digest == other.digest
	},
	Hash: func(state interface{}) uint64 {
		order := state.(register)
		return order.digest ^ uint64(order.version)
	},
	DescribeOperation: func(input, _ interface{}) string {
		op := input.(operation)
		return fmt.Sprintf("%s %s %s -> %s %d", op.Kind, op.CommandID, op.Value, op.Answer, op.Version)
	},
}

const timeout = 60 * time.Second

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: linearizability HISTORY.jsonl [PICTURE.html]")
		os.Exit(2)
	}
	histories, count, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	failed, undecided := 0, 0
	for order, history := range histories {
		result, info := porcupine.CheckOperationsVerbose(model, history, timeout)
		switch result {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			undecided++
		case porcupine.Illegal:
			failed++
		}
		fmt.Printf("%s: %s, %d operations\n", order, result, len(history))
		if len(os.Args) > 2 {
			_ = porcupine.VisualizePath(model, info, os.Args[2])
		}
	}
	fmt.Printf("%d operations on %d orders: %d cannot be explained\n", count, len(histories), failed)
	if failed > 0 {
		os.Exit(1)
	}
	if undecided > 0 {
		os.Exit(3)
	}
}

func read(path string) (map[string][]porcupine.Operation, int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	histories := map[string][]porcupine.Operation{}
	count := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var op operation
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", count+1, err)
		}
		end := int64(math.MaxInt64)
		if op.Return != nil {
			end = *op.Return
		}
		each := porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Output: nil, Return: end}
		histories[op.Order] = append(histories[op.Order], each)
		count++
	}
	return histories, count, lines.Err()
}
