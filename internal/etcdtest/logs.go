package etcdtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// failedTestLines is how much of each log a failed test prints.
const failedTestLines = 100

// closeKeepingLogs prints the end of each log and removes everything but the logs.
func (c *Cluster) closeKeepingLogs(tb testing.TB) {
	tb.Helper()
	c.stopMembers()
	kept := make(map[string]bool)
	for _, m := range c.Members() {
		kept[m.LogFile()] = true
		tb.Logf("end of the log of %s, kept whole in %s:\n%s", m.Name(), m.LogFile(), m.logTail(failedTestLines))
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

// logTail returns the last lines of the member's log.
func (m *Member) logTail(lines int) []byte {
	text, err := os.ReadFile(m.LogFile())
	if err != nil {
		return []byte(err.Error())
	}
	text = bytes.TrimRight(text, "\n")
	start := len(text)
	for range lines {
		start = bytes.LastIndexByte(text[:start], '\n')
		if start < 0 {
			return text
		}
	}
	return text[start+1:]
}
