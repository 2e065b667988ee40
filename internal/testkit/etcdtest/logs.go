package etcdtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// failedTestLines is how many lines of each log's end a failed test prints.
const failedTestLines = 100

// closeKeepingLogs prints the ends of each log and removes everything but the logs.
func (c *Cluster) closeKeepingLogs(tb testing.TB) {
	tb.Helper()
	c.stopMembers()
	kept := make(map[string]bool)
	for _, m := range c.Members() {
		kept[m.LogFile()] = true
		tb.Logf("ends of the log of %s, kept whole in %s:\n%s", m.Name(), m.LogFile(),
			m.logEnds(failedTestLines))
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		tb.Error(err)
	}
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		if kept[path] {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			tb.Error(err)
		}
	}
}

// logEnds returns the first and the last lines of the member's log. A refused flag is in its first
// line, all else near its end.
func (m *Member) logEnds(last int) []byte {
	const first = 2
	text, err := os.ReadFile(m.LogFile())
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	if omitted := len(lines) - first - last; omitted > 0 {
		note := fmt.Appendf(nil, "[%d lines]", omitted)
		lines = slices.Concat(lines[:first], [][]byte{note}, lines[first+omitted:])
	}
	return bytes.Join(lines, []byte("\n"))
}
