package house

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"golang.org/x/mod/modfile"
)

// Every dependency is a decision that README.md defends in one line, and
// README.md defends none that is not there.
func TestDependenciesHaveTheirReasons(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+\\.[^`]+/[^`]+)` \\| \\S.* \\|$").FindAllSubmatch(readme, -1) {
		reasons[string(row[1])] = true
	}
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		if !reasons[r.Mod.Path] {
			t.Errorf("README.md gives no reason for %s", r.Mod.Path)
		}
		delete(reasons, r.Mod.Path)
	}
	for path := range reasons {
		t.Errorf("README.md gives a reason for %s, which go.mod does not require", path)
	}
}
