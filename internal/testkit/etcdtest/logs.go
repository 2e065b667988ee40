package etcdtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// failedTestLines is how many of the last lines of each log a failed test prints.
const failedTestLines = 100

// closeKeepingLogs stops the members, prints the first and the last lines of each log, and removes
// all files but the logs.
func (c *Cluster) closeKeepingLogs(tb testing.TB) {
	tb.Helper()
	c.stopMembers()
	for _, m := range c.Members() {
		tb.Logf("ends of the log of %s, kept whole in %s:\n%s", m.name, m.LogFile(),
			m.logEnds(failedTestLines))
	}
	files, err := filepath.Glob(filepath.Join(c.dir, "*"))
	for _, file := range files {
		if filepath.Ext(file) != ".log" {
			err = errors.Join(err, os.RemoveAll(file))
		}
	}
	if err != nil {
		tb.Error(err)
	}
}

// logEnds returns the first two and the last lines of the member's log. If etcd refuses a flag, the
// first line says so. All other failures are near the end of the log.
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
