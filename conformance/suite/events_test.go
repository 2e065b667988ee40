package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func collected(t *testing.T, lines ...string) *result {
	t.Helper()
	r, err := collect("p", strings.NewReader(strings.Join(lines, "\n")))
	require.NoError(t, err)
	return r
}

func TestCollect(t *testing.T) {
	for _, tc := range []struct {
		name                    string
		lines                   []string
		passed, failed, skipped []string
	}{
		{name: "each action once", passed: []string{"A", "D"}, failed: []string{"B/x", "B"},
			skipped: []string{"C"}, lines: []string{
				`{"Action":"run","Test":"A"}`, `{"Action":"pass","Test":"A"}`,
				`{"Action":"run","Test":"B"}`, `{"Action":"run","Test":"B/x"}`,
				`{"Action":"fail","Test":"B/x"}`, `{"Action":"fail","Test":"B"}`,
				`{"Action":"skip","Test":"C"}`, `{"Action":"pass","Test":"D"}`, `{"Action":"fail"}`,
			}},
		{name: "the process dies in a test", passed: []string{"A"}, failed: []string{"B"},
			lines: []string{
				`{"Action":"pass","Test":"A"}`, `{"Action":"run","Test":"B"}`,
				`{"Action":"output","Test":"B","Output":"panic\n"}`, `{"Action":"fail"}`,
			}},
		{name: "the process dies between tests", passed: []string{"A"},
			failed: []string{"(package)"}, lines: []string{`{"Action":"pass","Test":"A"}`}},
		{name: "it does not build", failed: []string{"(package)"}, lines: []string{
			`{"Action":"build-output","Output":"x.go:1: undefined\n"}`, `{"Action":"fail"}`,
		}},
		{name: "no events", failed: []string{"(package)"}, lines: []string{"go: no such thing"}},
		{name: "no tests", lines: []string{`{"Action":"skip"}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := collected(t, tc.lines...)
			assert.Equal(t, tc.passed, r.passed)
			assert.Equal(t, tc.failed, r.failed)
			assert.Equal(t, tc.skipped, r.skipped)
		})
	}
}

func TestFailureShowsTheEndWithoutServerLogs(t *testing.T) {
	r := collected(t, `{"Action":"run","Test":"A"}`,
		`{"Action":"output","Test":"A","Output":"`+strings.Repeat("x", 3*maxOutput)+`\n"}`,
		`{"Action":"output","Test":"A","Output":"    logger.go:146: noise\n"}`,
		`{"Action":"output","Test":"A","Output":"the reason\n"}`, `{"Action":"fail","Test":"A"}`)
	text := r.story("A")
	assert.Less(t, len(text), maxOutput+100)
	assert.Contains(t, text, "the reason")
	assert.NotContains(t, text, "noise")
}

func TestReport(t *testing.T) {
	m := mode{name: "some", passed: 314, skipped: 5,
		known: map[string]string{"TestK": "it is right to"}}
	pass := &result{passed: make([]string, m.passed), skipped: make([]string, m.skipped),
		failed: []string{"TestK"}}
	m.setAside(pass)
	var out strings.Builder
	assert.True(t, report(&out, m, []*result{pass}, true))
	pass.passed = pass.passed[1:]
	assert.True(t, report(&out, m, []*result{pass}, false))
	assert.False(t, report(&out, m, []*result{pass}, true), "a test is missing")
	assert.Contains(t, out.String(), "313 passed and 5 skipped")
	assert.Contains(t, out.String(), "known to fail: TestK: it is right to")
	pass.skipped, pass.outputs = []string{"TestY"}, map[string][]byte{"TestY": []byte("why not")}
	assert.False(t, report(&out, m, []*result{pass}, true), "more are skipped")
	assert.Regexp(t, `TestY\n +why not`, out.String())
	assert.False(t, report(&out, m, []*result{pass, {failed: []string{"TestX"}}}, false))
	assert.Contains(t, out.String(), "TestX")
	assert.False(t, report(&out, m, nil, false), "nothing has run")
}

func TestPackagesAreNamedByTheirMode(t *testing.T) {
	for _, m := range modes {
		assert.Equal(t, m.name, m.short(m.importPath(".")))
		assert.Equal(t, m.name+"/a/b", m.short(m.importPath("a/b")))
	}
}
