package lint

import (
	"path"
	"regexp"
	"strings"
)

// banned are texts that stand nowhere in the project. The patterns are written so that they do not
// match themselves.
var banned = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`(^|[\s"'(=` + "`" + `])/(?:work|root|home|Users)/`),
		"a path of one machine"},
	{regexp.MustCompile(`\.\./shared\b|\bbehaviours[.]md|\bstyle[.]md`),
		"a document outside the project"},
	{regexp.MustCompile(`(?i)\bissues? #?\d`), "an issue's number"},
	{regexp.MustCompile(`(?://|#|<!--)[^"]*\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b`),
		"a plan; do it or leave it out"},
	{regexp.MustCompile(`(?i)\b(?:for|right) now\b[,.;:)]|\bnot (?:yet implemented|implemented yet)\b|\bwork in [p]rogress\b`), "a plan; describe what is there"},
}

// Words finds text that the project does not contain.
func Words(p, text string) []Finding {
	var found []Finding
	line := 0
	for l := range strings.Lines(text) {
		line++
		for _, b := range banned {
			if m := b.pattern.FindString(l); m != "" {
				found = append(found, Finding{Path: p, Line: line,
					Text: "mentions " + b.why + ": " + strings.TrimSpace(m)})
			}
		}
	}
	return found
}

// isText reports whether the file at p was written by hand.
func isText(p string) bool {
	switch path.Ext(p) {
	case ".go", ".md", ".txt", ".mod", ".sh", ".yml", ".yaml", ".conf", ".script":
		return true
	}
	base := path.Base(p)
	return base == "Makefile" || base == "run" || base == ".gitignore"
}
