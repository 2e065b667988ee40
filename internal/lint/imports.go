package lint

import (
	"slices"
	"strings"
)

const modulePath = "go.etcd.io/etcd/client/v3"

// Imported is what the package of a directory may import besides the standard library.
type Imported struct {
	// Own are directories of this module, "." for the root package.
	Own []string
	// Others are import paths; one that ends in "/..." also stands for what lies below.
	Others []string
}

// Imports finds imports of a package's own code beyond table, which has an entry for every
// directory with a package. Files of tests may import more. In internal/ only rootImporters may
// import the root package, and that goes for tests, too.
func Imports(f *File, table map[string]Imported) []Finding {
	may, known := table[f.Dir()]
	if !known {
		return []Finding{f.finding(f.AST.Package,
			"directory %s is missing from importTable in settings.go", f.Dir())}
	}
	var found []Finding
	for _, imp := range f.AST.Imports {
		to := strings.Trim(imp.Path.Value, `"`)
		own := ownDir(to)
		switch {
		case own == "." && under(f.Dir(), "internal") && !slices.Contains(rootImporters, f.Dir()):
			found = append(found, f.finding(imp.Pos(),
				"internal packages never import the root package"))
		case f.Test() || standard(to):
		case own != "" && !slices.Contains(may.Own, own):
			found = append(found, f.finding(imp.Pos(), "%s may not import %s", f.Dir(), own))
		case own == "" && !matches(may.Others, to):
			found = append(found, f.finding(imp.Pos(), "%s may not import %s", f.Dir(), to))
		}
	}
	return found
}

// ownDir is the directory of an import path of this module, "" for others.
func ownDir(importPath string) string {
	if importPath == modulePath {
		return "."
	}
	dir, ok := strings.CutPrefix(importPath, modulePath+"/")
	if !ok {
		return ""
	}
	return dir
}

// standard reports whether an import path is of the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

func matches(patterns []string, importPath string) bool {
	for _, p := range patterns {
		if below, ok := strings.CutSuffix(p, "/..."); ok && under(importPath, below) ||
			p == importPath {
			return true
		}
	}
	return false
}
