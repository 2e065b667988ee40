package lint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// snippet is a small file that a rule must, or must not, find something in.
type snippet struct {
	name  string
	check func(*File) []string
	path  string // the file's path; if empty, "x/x.go"
	src   string // the file's text below its package clause
	want  []string
}

func (s snippet) run(t *testing.T) {
	p := s.path
	if p == "" {
		p = "x/x.go"
	}
	f, err := Parse(p, "package x\n"+s.src)
	require.NoError(t, err)
	got := s.check(f)
	require.Len(t, got, len(s.want), "%q", got)
	for i, want := range s.want {
		require.Contains(t, got[i], want)
	}
}

func TestGoroutinesAndChannelsAreFound(t *testing.T) {
	allowed := func(f *File) []string { return Goroutines(f, []string{"x"}) }
	refused := func(f *File) []string { return Goroutines(f, []string{"x/y.go"}) }
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
		{name: "no waiter named", check: allowed,
			src:  "func f() {\n\t// Close stops it.\n\tgo f()\n}\n",
			want: []string{"the comment above"}},
		{name: "no end named", check: allowed,
			src:  "func f() {\n\t// Someone waits for it.\n\tgo f()\n}\n",
			want: []string{"the comment above"}},

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

func TestFieldsFindsWhatIsNotDocumented(t *testing.T) {
	door := func(comment, between string) string {
		return "type Door struct {\n\t// " + comment + "\n\tWidth int\n" + between +
			"\tHeight int\n}\n"
	}
	for _, s := range []snippet{
		{name: "field", src: "type Door struct {\n\tOpen bool\n\twidth int\n\tpart\n}\n",
			want: []string{"Door.Open is exported"}},
		{name: "comment beside", src: "type Door struct {\n\tOpen bool // to pass\n}\n"},
		{name: "named above", src: door("Width and Height in metres.", "")},
		{name: "not named above", src: door("Width in metres.", ""),
			want: []string{"Door.Height is exported"}},
		{name: "apart from what names it", src: door("Width and Height in metres.", "\n"),
			want: []string{"Door.Height is exported"}},
		{name: "interface method", src: "type Door interface {\n\tOpen()\n\tshut()\n}\n",
			want: []string{"Door.Open is exported"}},
		{name: "hidden type", src: "type door struct {\n\tOpen bool\n}\n"},
	} {
		s.check = Fields
		t.Run(s.name, s.run)
	}
}

func TestHouseWordsAreFoundInNamesAndComments(t *testing.T) {
	for _, s := range []snippet{
		{name: "name", src: "var lastSe" + "at int\n", want: []string{"x/x.go:2"}},
		{name: "comment", src: "// The se" + "at.\nvar v int\n", want: []string{"x/x.go:2"}},
		{name: "part of a word", src: "// Sea" + "ts, seated.\nvar seating int\n"},
		{name: "string", src: "var v = \"a sea" + "t\"\n"},
	} {
		s.check = HouseWords
		t.Run(s.name, s.run)
	}
}

func TestLeakCheckedFindsPackagesWithoutACheck(t *testing.T) {
	for _, s := range []snippet{
		{name: "check", path: "x/x_test.go",
			src: "func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }\n"},
		{name: "no check", path: "x/x_test.go",
			src: "func TestA(t *testing.T) {}\n", want: []string{"x: no TestMain"}},
		{name: "no tests", src: "func f() {}\n"},
	} {
		s.check = func(f *File) []string { return LeakChecked(f.Dir(), []*File{f}) }
		t.Run(s.name, s.run)
	}
}
