package namespace_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// asked lists the options of each kind of request. It names each option by the beginning of its
// text in options.text.
var asked = map[string][]string{
	"get":    getNames,
	"stream": getNames,
	"put":    {"lease ", "previous", "ignore value", "ignore lease"},
	"delete": {"prefix", "from key", "to \"", "previous"},
	"watch": {"prefix", "from key", "to \"", "rev", "previous", "no puts", "no deletes",
		"fragments", "progress", "created"},
}

var getNames = []string{
	"prefix", "from key", "to \"", "limit", "sort", "rev", "serializable", "keys only",
	"count only",
	"bound 0", "bound 1", "bound 2", "bound 3",
}

// TestHistoriesAskForEverything: the random series of requests that TestRandomHistoriesEqualAModel
// sends use every prefix and every option. They also use, in one request, every two options that
// can be used together.
func TestHistoriesAskForEverything(t *testing.T) {
	ranges := []string{"prefix", "from key", "to \""} // of which an operation has one
	seen := map[string]map[string]int{}
	prefixesSeen, whole := map[int]int{}, map[string]int{}
	for seed := range uint64(histories) {
		c := choices(randomHistory(seed))
		prefixesSeen[c.n(len(prefixes))]++
		for range 3 {
			c.key()
			note(seen, "watch"+c.watchOptions(0).text)
		}
		for len(c) > 0 {
			text := c.step().text
			note(seen, strings.TrimPrefix(text, "do "))
			noteParts(whole, text)
		}
		c = choices(randomHistory(seed))
		for range 6 {
			c.key()
			note(seen, "watch"+c.watchOptions(20).text)
		}
	}
	require.Len(t, prefixesSeen, len(prefixes))
	require.Len(t, whole, len(parts), "%v", whole)
	for kind, names := range asked {
		for _, pair := range pairs(names) {
			if a, b := pair[0], pair[1]; a == b || !slices.Contains(ranges, a) ||
				!slices.Contains(ranges, b) {
				require.Positive(t, seen[kind][a+" with "+b], "%s %s with %s; of %v", kind, a, b,
					slices.Sorted(maps.Keys(seen[kind])))
			}
		}
	}
}

// pairs returns all pairs of the names, including those of a name with itself.
func pairs(names []string) (all [][2]string) {
	for i, a := range names {
		for _, b := range names[i:] {
			all = append(all, [2]string{a, b})
		}
	}
	return all
}

// parts are more texts that TestHistoriesAskForEverything looks for. They stand for parts of
// transactions, and for requests that are no clientv3.Op.
var parts = []string{
	"(txn", "span 1", "span 2", "span 3", "target 0", "target 1", "target 2", "target 3",
	"target 4", "else", "compact",
}

func noteParts(whole map[string]int, text string) {
	for _, part := range parts {
		if strings.Contains(text, part) {
			whole[part]++
		}
	}
}

// note counts in seen, for one request, every two options that the text of the request contains.
func note(seen map[string]map[string]int, text string) {
	kind, _, _ := strings.Cut(text, " ")
	if seen[kind] == nil {
		seen[kind] = map[string]int{}
	}
	for _, pair := range pairs(asked[kind]) {
		if a, b := pair[0], pair[1]; strings.Contains(text, " "+a) &&
			strings.Contains(text, " "+b) {
			seen[kind][a+" with "+b]++
		}
	}
}
