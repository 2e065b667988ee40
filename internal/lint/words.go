package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
)

// banned are patterns of texts that no file of the project may contain. Each pattern is written so
// that it does not match its own source.
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
	{regexp.MustCompile(`//[^"]*\b(?:[WLRACNS]|X[DW])\d{1,2}\b`),
		"a row of a list of requirements"},
	{regexp.MustCompile(`(?i)\b(?:for|right) now\b[,.;:)]|\bnot (?:yet implemented|implemented yet)\b|\bwork in [p]rogress\b`), "a plan; describe what is there"},
}

// Words returns a finding for each line of a file's text that one of the banned patterns matches.
// The parameter p is the file's path.
func Words(p, text string) []string {
	var found []string
	line := 0
	for l := range strings.Lines(text) {
		line++
		for _, b := range banned {
			if m := b.pattern.FindString(l); m != "" {
				found = append(found, fmt.Sprintf("%s:%d: mentions %s: %s", p, line, b.why,
					strings.TrimSpace(m)))
			}
		}
	}
	return found
}

// isText reports whether the file at p is a text file that people write.
func isText(p string) bool {
	switch path.Ext(p) {
	case ".go", ".md", ".txt", ".mod", ".sh", ".yml", ".yaml", ".conf", ".script":
		return true
	}
	base := path.Base(p)
	return base == "Makefile" || base == "run" || base == ".gitignore"
}

// houseWords are words that identifiers and comments must not contain, because engineers use other
// words instead.
var houseWords = regexp.MustCompile(`(?i)\b(standing|severed|seat|restless|leftover|lapsed|owing|` +
	`vetted|agenda|doomed|sweeper|sweep|chores|whereabouts|tenancy|tenant|rescind|haste|` +
	`last resort|seldom|lest|that which|where there is none|what it owes|` +
	`nobody|somebody|whoever|likewise|so does|of ours|of theirs|none is|tells of)\b`)

var wordStart = regexp.MustCompile(`[A-Z]?[a-z0-9]+|[A-Z]+`)

// HouseWords finds identifiers and comments that contain one of the houseWords.
func HouseWords(f *File) []string {
	var found []string
	look := func(pos token.Pos, text string) {
		if m := houseWords.FindString(strings.Join(strings.Fields(text), " ")); m != "" {
			found = append(found, f.finding(pos, "%q: the field has a word for it", m))
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			look(id.Pos(), strings.Join(wordStart.FindAllString(id.Name, -1), " "))
		}
		return true
	})
	for _, group := range f.AST.Comments {
		look(group.Pos(), group.Text())
	}
	return found
}
