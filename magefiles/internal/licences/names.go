package licences

import (
	"path"
	"regexp"
	"strings"
)

// A kind is what a file is for, as its name says.
type kind int

const (
	other   kind = iota
	licence      // must be told
	notice       // is passed on: NOTICE, PATENTS, and what a package says of those it holds
	people       // AUTHORS, CONTRIBUTORS: passed on where a licence beside them refers to them
	source       // may hold copyright lines in its head
)

var (
	// Code and data have no place among texts, whatever they are called:
	// license_test.go, copyright.svg, check-license.sh.
	dataForm    = regexp.MustCompile(`(?i)\.(go|js|cjs|mjs|jsx|ts|cts|mts|tsx|map|json|ya?ml|toml|sh|py|svg|png|snap|s?css|html?|crt|proto|prototext|tmpl|mod|sum|xml|lock|csv|in|sql|c|h|s|gz)$`)
	sourceForm  = regexp.MustCompile(`(?i)\.(go|c|cc|h|s|js|cjs|mjs|jsx|ts|cts|mts|tsx|css|scss|less|py|elm|rs)$`)
	licenceForm = regexp.MustCompile(`(?i)^((un)?licen[cs]es?|copying|copyright|mit|apache|bsd|gpl|lgpl|mpl|isc)([._-].*)?$|[._-]licen[cs]es?(\.(txt|md|rst))?$`)
	noticeForm  = regexp.MustCompile(`(?i)^(notices?|patents?|copyrightnotice)([._-].*)?$|^third[-_ ]?party`)
	peopleForm  = regexp.MustCompile(`(?i)^(authors|contributors)(\.(txt|md|rst))?$`)
	shortForm   = regexp.MustCompile(`(?i)^(mit|apache|bsd|gpl|lgpl|mpl|isc)([._-].*)?$`)
	folderForm  = regexp.MustCompile(`(?i)^licen[cs]es?$`)
)

// kindOf says what the file called name, a slash-separated path, is for.
func kindOf(name string) kind {
	base := path.Base(name)
	switch {
	case sourceForm.MatchString(base):
		return source
	case dataForm.MatchString(base) || strings.HasPrefix(base, "."):
		return other
	case noticeForm.MatchString(base):
		return notice
	case peopleForm.MatchString(base):
		return people
	case folderForm.MatchString(path.Base(path.Dir(name))) && !readmeForm.MatchString(base):
		return licence
	// "mit-example" is nothing, "MIT.txt" is; LICENSE may be followed by anything.
	case shortForm.MatchString(base):
		if base == strings.ToUpper(base) || strings.EqualFold(path.Ext(base), ".txt") || strings.EqualFold(path.Ext(base), ".md") {
			return licence
		}
		return other
	case licenceForm.MatchString(base):
		return licence
	}
	return other
}

// folder is the folder that a text speaks for: the one that it lies in, or the
// one above where that is a folder of licences.
func folder(name string) string {
	dir := path.Dir(name)
	if folderForm.MatchString(path.Base(dir)) {
		dir = path.Dir(dir)
	}
	if dir == "." {
		return ""
	}
	return dir
}
