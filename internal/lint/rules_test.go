package lint

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// snippet is a small file that a rule must, or must not, find something in.
type snippet struct {
	name  string
	check func(*File) []Finding
	path  string // "x/x.go" where empty
	src   string // after the package clause
	want  []string
}

func (s snippet) run(t *testing.T) {
	p := s.path
	if p == "" {
		p = "x/x.go"
	}
	f, err := Parse(p, "package x\n"+s.src)
	require.NoError(t, err)
	var got []string
	for _, finding := range s.check(f) {
		got = append(got, finding.String())
	}
	require.Len(t, got, len(s.want), "%q", got)
	for i, want := range s.want {
		require.Contains(t, got[i], want)
	}
}

func TestSizeRulesFindWhatBreaksThem(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\tf()\n", n) }
	for _, s := range []snippet{
		{name: "file at the limit", check: FileSize, src: strings.Repeat("\n", 499)},
		{name: "file over it", check: FileSize, src: strings.Repeat("\n", 500),
			want: []string{"x/x.go: 501 lines, at most 500"}},
		{name: "function at the limit", check: FuncSize, src: "func f() {\n" + lines(68) + "}\n"},
		{name: "function over it", check: FuncSize, src: "func f() {\n" + lines(69) + "}\n",
			want: []string{"x/x.go:2: f has 71 lines"}},
		{name: "literal over it", check: FuncSize, src: "var v = func() {\n" + lines(69) + "}\n",
			want: []string{"function literal has 71 lines"}},
		{name: "indent at the limit", check: Indent,
			src: "func f() {\n\tif a {\n\t\tfor {\n\t\t\tif b {\n\t\t\t\tf()\n\t\t\t}\n\t\t}\n\t}\n}\n"},
		{
			name: "indent over it", check: Indent,
			src:  "func f() {\n\tif a {\n\t\tfor {\n\t\t\tif b {\n\t\t\t\tif c {\n\t\t\t\t\tf()\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}\n}\n",
			want: []string{"x/x.go:7: indented 5 deep"},
		},
		{name: "literal in a test", check: Indent, path: "x/x_test.go", src: nested},
		{name: "literal in code", check: Indent, src: nested,
			want: []string{"x/x.go:7: indented 5 deep", "x/x.go:8: indented 6 deep"}},
		{
			name: "too deep in a test's literal", check: Indent, path: "x/x_test.go",
			src: strings.ReplaceAll(nested, "\t\t\t\t\t\tf()",
				"\t\t\t\t\t\tif d {\n\t\t\t\t\t\t\tf()\n\t\t\t\t\t\t}"),
			want: []string{"x/x_test.go:9: indented 5 deep"},
		},
		{name: "deep table of values", check: Indent,
			src: "func f() {\n\tg(a{\n\t\tb{\n\t\t\tc{\n\t\t\t\td{\n\t\t\t\t\t1,\n\t\t\t\t},\n\t\t\t},\n\t\t},\n\t})\n}\n"},
	} {
		t.Run(s.name, s.run)
	}
}

// nested has a statement 4 deep in a literal that stands 2 deep.
const nested = `func TestA(t *testing.T) {
	for range 2 {
		run("", func() {
			for a {
				for b {
					if c {
						f()
					}
				}
			}
		})
	}
}
`

func TestConcurrencyRulesFindWhatBreaksThem(t *testing.T) {
	allowed := func(f *File) []Finding { return Goroutines(f, []string{"x"}) }
	refused := func(f *File) []Finding { return Goroutines(f, []string{"x/y.go"}) }
	const comment = "\t// Close stops it by closing c and waits for done.\n"
	for _, s := range []snippet{
		{name: "goroutine", check: allowed, src: "func f() {\n" + comment + "\tgo f()\n}\n"},
		{name: "goroutine in API", check: refused, src: "func f() {\n" + comment + "\tgo f()\n}\n",
			want: []string{"x/x.go:4: starts a goroutine"}},
		{name: "wait group in API", check: refused,
			src:  "func f() {\n" + comment + "\twg.Go(f)\n}\n",
			want: []string{"starts a goroutine"}},
		{name: "nested goroutine", check: refused,
			src:  "func f() {\n\tg(func() {\n" + comment + "\t\tgo f()\n\t})\n}\n",
			want: []string{"starts a goroutine"}},
		{name: "no comment", check: allowed, src: "func f() {\n\tgo f()\n}\n",
			want: []string{"x/x.go:3: the comment above"}},
		{name: "comment elsewhere", check: allowed,
			src:  "func f() {\n" + comment + "\tf()\n\tgo f()\n}\n",
			want: []string{"the comment above"}},
		{name: "two under one comment", check: allowed,
			src: "func f() {\n" + comment + "\tgo f()\n\twg.Go(f)\n}\n"},
		{name: "two apart", check: allowed, src: "func f() {\n" + comment +
			"\tgo f()\n\n\tgo f()\n}\n", want: []string{"x/x.go:6: the comment above"}},
		{name: "nobody waits", check: allowed,
			src:  "func f() {\n\t// Close stops it.\n\tgo f()\n}\n",
			want: []string{"the comment above"}},
		{name: "nobody stops it", check: allowed,
			src:  "func f() {\n\t// Someone waits for it.\n\tgo f()\n}\n",
			want: []string{"the comment above"}},

		{name: "sleep", check: Sleeps, src: "import \"time\"\nfunc f() { time.Sleep(1) }\n",
			want: []string{"time.Sleep"}},
		{name: "after, renamed", check: Sleeps, src: "import t \"time\"\nvar c = t.After(1)\n",
			want: []string{"time.After"}},
		{name: "tick", check: Sleeps, src: "import \"time\"\nvar c = time.Tick(1)\n",
			want: []string{"time.Tick"}},
		{name: "timer", check: Sleeps, src: "import \"time\"\nvar c = time.NewTimer(1)\nvar d = clock.After(1)\n"},

		{name: "wall clock", check: noWallClock,
			src: "import \"time\"\nvar n = time.Now().UnixNano()\n", want: []string{"UnixNano"}},
		{name: "wall clock in milliseconds", check: noWallClock,
			src: "var n = deadline.UnixMilli()\n", want: []string{"UnixMilli"}},
		{name: "monotonic", check: noWallClock,
			src: "import \"time\"\nvar d = time.Since(start)\nvar u = time.Unix(1, 0)\n"},
		{name: "wall clock allowed", check: noWallClock, path: "allowed.go",
			src: "var n = t.UnixNano()\n"},

		{name: "background", check: noRoots, src: "import \"context\"\nvar c = context.Background()\n", want: []string{"context.Background"}},
		{name: "todo", check: noRoots, src: "import \"context\"\nvar c = f(context.TODO)\n",
			want: []string{"context.TODO"}},
		{name: "derived", check: noRoots, src: "import \"context\"\nvar c, d = context.WithCancel(ctx)\n"},
		{name: "background allowed", check: noRoots, path: "allowed.go",
			src: "import \"context\"\nvar c = context.Background()\n"},

		{name: "panic", check: noPanics, src: "func f() { panic(1) }\n", want: []string{"panics"}},
		{name: "recover", check: noPanics, src: "func f() { recover() }\n"},
		{name: "panic allowed", check: noPanics, path: "allowed.go",
			src: "func f() { panic(1) }\n"},

		{name: "channel type", check: Channels, src: "var c chan int\n",
			want: []string{"a channel type"}},
		{name: "send", check: Channels, src: "func f() { c <- 1 }\n", want: []string{"a send"}},
		{name: "receive in select", check: Channels,
			src:  "func f() {\n\tselect {\n\tcase <-c:\n\t}\n}\n",
			want: []string{"a select", "a receive"}},
		{name: "callbacks", check: Channels, src: "func f(done func(error)) { done(nil) }\n"},
	} {
		t.Run(s.name, s.run)
	}
}

func noRoots(f *File) []Finding { return RootContexts(f, []string{"allowed.go"}) }
func noWallClock(f *File) []Finding {
	return WallClock(f, []string{"allowed.go"})
}
func noPanics(f *File) []Finding { return Panics(f, []string{"allowed.go"}) }

func TestImportRuleFindsWhatBreaksIt(t *testing.T) {
	table := map[string]Imported{
		"sub": {Own: []string{".", "internal/low"},
			Others: []string{"m.org/exact", "m.org/tree/..."}},
		"internal/high": {Own: []string{".", "internal/low"}},
		"internal/low":  {},

		"internal/testkit/testclient": {Own: []string{"."}},
	}
	check := func(f *File) []Finding { return Imports(f, table) }
	importing := func(paths ...string) string {
		return "import (\n\t\"" + strings.Join(paths, "\"\n\t\"") + "\"\n)\n"
	}
	for _, s := range []snippet{
		{name: "allowed", check: check, path: "sub/a.go",
			src: importing("fmt", "net/http", modulePath, modulePath+"/internal/low", "m.org/exact",
				"m.org/tree", "m.org/tree/a/b")},
		{
			name: "others", check: check, path: "sub/a.go",
			src: importing("m.org/exact/below", "m.org/treehouse", "m.org/new"),
			want: []string{"sub may not import m.org/exact/below",
				"sub may not import m.org/treehouse", "sub may not import m.org/new"},
		},
		{name: "own", check: check, path: "sub/a.go", src: importing(modulePath + "/internal/high"),
			want: []string{"sub may not import internal/high"}},
		{name: "upwards", check: check, path: "internal/low/a.go",
			src:  importing(modulePath + "/internal/high"),
			want: []string{"internal/low may not import internal/high"}},
		{name: "root, although listed", check: check, path: "internal/high/a.go",
			src: importing(modulePath), want: []string{"never import the root"}},
		{name: "root from a test", check: check, path: "internal/low/a_test.go",
			src: importing(modulePath), want: []string{"never import the root"}},
		{name: "root from test support", check: check, path: "internal/testkit/testclient/a.go",
			src: importing(modulePath)},
		{name: "more in tests", check: check, path: "internal/low/a_test.go",
			src: importing("m.org/testing", modulePath+"/internal/high")},
		{name: "unknown directory", check: check, path: "new/a.go",
			want: []string{"directory new is missing from importTable"}},
	} {
		t.Run(s.name, s.run)
	}
}

func TestStateMachinesMayImportNeitherZapNorGRPC(t *testing.T) {
	for _, dir := range stateMachines {
		for _, lib := range []string{"go.uber.org/zap", "google.golang.org/grpc",
			"google.golang.org/grpc/status"} {
			f, err := Parse(dir+"/a.go", "package a\nimport \""+lib+"\"\n")
			require.NoError(t, err)
			require.Len(t, Imports(f, importTable), 1, "%s imports %s", dir, lib)
		}
	}
}

func TestTestRulesFindWhatBreaksThem(t *testing.T) {
	leaks := func(f *File) []Finding { return LeakChecked(f.Dir(), []*File{f}) }
	for _, s := range []snippet{
		{name: "leak check", check: leaks, path: "x/x_test.go",
			src: "import \"go.uber.org/goleak\"\nfunc TestMain(m *testing.M) { goleak.VerifyTestMain(m) }\n"},
		{name: "no leak check", check: leaks, path: "x/x_test.go",
			src: "func TestA(t *testing.T) {}\n", want: []string{"x: no TestMain"}},
		{name: "no tests", check: leaks, src: "func f() {}\n"},
		{name: "skip", check: Skips, path: "x/x_test.go",
			src: "func TestA(t *testing.T) { t.Skip(\"\") }\n", want: []string{"skips a test"}},
		{name: "skip by hand", check: Skips, path: "x/x_test.go",
			src:  "func TestA(t *testing.T) { t.SkipNow(); b.Skipf(\"\") }\n",
			want: []string{"skips", "skips"}},
		{name: "soak", check: Skips, path: "x/x_soak_test.go",
			src: "func TestA(t *testing.T) { t.Skip(\"\") }\n"},
	} {
		t.Run(s.name, s.run)
	}
}
