package patches

import (
	"io/fs"
	"regexp"
	"strings"
)

// brokenName is the file of a series that lists broken tests.
const brokenName = "upstream-tests"

// MaxBroken bounds the tests that a series may break, in number.
const MaxBroken = 1000

// A BrokenTest is a test of upstream's that fails once a series is applied, and
// is meant to.
type BrokenTest struct {
	Package string // its folder, below the module's root; "." for that itself
	Test    string // as the go command prints it: TestX/a_case
	Reason  string
}

// Covers reports whether the test called name, of b's package, is b's or a
// subtest of it.
func (b BrokenTest) Covers(name string) bool {
	return name == b.Test || strings.HasPrefix(name, b.Test+"/")
}

// testName is of tests, examples and fuzz targets, which run with their seeds.
var testName = regexp.MustCompile(`^(Test|Example|Fuzz)[^ ]*$`)

func loadBroken(fsys fs.FS, name string) ([]BrokenTest, error) {
	data, err := readFile(fsys, name, MaxSeriesSize)
	if err != nil {
		return nil, err
	}
	return parseBroken(name, data)
}

// parseBroken reads a list of broken tests; name is for errors.
func parseBroken(name string, data []byte) ([]BrokenTest, error) {
	var all []BrokenTest
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		pkg, rest, _ := strings.Cut(line, " ")
		test, reason, _ := strings.Cut(rest, " ")
		b := BrokenTest{Package: pkg, Test: test, Reason: reason}
		switch {
		case !fs.ValidPath(pkg) || !testName.MatchString(test) || reason == "" || reason != strings.TrimSpace(reason):
			return nil, malformed(name, i+1, "%q is not a package's folder, a test and the reason, with a space between", line)
		case len(all) == MaxBroken:
			return nil, malformed(name, i+1, "more than %d tests", MaxBroken)
		case len(all) > 0 && pkg == all[len(all)-1].Package && all[len(all)-1].Covers(test):
			return nil, malformed(name, i+1, "%s stands for %s already", all[len(all)-1].Test, test)
		case len(all) > 0 && !all[len(all)-1].before(b):
			return nil, malformed(name, i+1, "%s %s stands behind %s %s: lines must ascend", pkg, test, all[len(all)-1].Package, all[len(all)-1].Test)
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil, malformed(name, 1, "names no test: remove the file if upstream's all pass")
	}
	return all, nil
}

// before orders by package, then by the parts of the test's name, so that a
// test comes right before its subtests.
func (b BrokenTest) before(other BrokenTest) bool {
	if b.Package != other.Package {
		return b.Package < other.Package
	}
	return strings.ReplaceAll(b.Test, "/", "\x00") < strings.ReplaceAll(other.Test, "/", "\x00")
}
