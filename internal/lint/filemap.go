package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const fileMapHeading = "## File map"

// mapped matches the first cell of a table's row.
var mapped = regexp.MustCompile(`(?m)^\| ([^|]+) \|`)

// FileMap compares the file map in the text of a design document with names, the files and
// directories that it should list in the first column of its tables.
func FileMap(design string, names []string) []string {
	_, section, found := strings.Cut(design, "\n"+fileMapHeading+"\n")
	if !found {
		return []string{"no section " + fileMapHeading}
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var problems, listed []string
	for _, row := range mapped.FindAllStringSubmatch(section, -1) {
		listed = append(listed, strings.Split(row[1], ", ")...)
	}
	for _, name := range names {
		if !slices.Contains(listed, name) {
			problems = append(problems, fmt.Sprintf("%s is not in the file map", name))
		}
	}
	for _, name := range listed {
		if strings.ContainsAny(name, "./") && !slices.Contains(names, name) {
			problems = append(problems, fmt.Sprintf("the file map lists %s, which does not exist",
				name))
		}
	}
	return problems
}
