// Package docs_test tests what the Markdown pages of this module tell a reader to do.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "../.."

// page is one Markdown file.
type page struct {
	name string // relative to the root
	text string
}

// pages returns all Markdown files of the repository.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == "bin" || name == "testdata" || name == ".git") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		all = append(all, page{filepath.ToSlash(rel), string(text)})
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

// block is a block of code in a page: fenced, with its language, or indented by four spaces.
type block struct {
	language string
	text     string
}

func (p page) blocks() []block {
	var found []block
	var current *block
	fenced := false
	for line := range strings.Lines(p.text) {
		language, fence := strings.CutPrefix(line, "```")
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case fence && !fenced:
			fenced, current = true, &block{language: strings.TrimSpace(language)}
		case fence:
			found, fenced, current = append(found, *current), false, nil
		case fenced:
			current.text += line
		case indented && current == nil:
			current = &block{text: code}
		case indented:
			current.text += code
		case current != nil:
			found, current = append(found, *current), nil
		}
	}
	if current != nil {
		found = append(found, *current)
	}
	return found
}
