package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"palisade/magefiles/internal/audit"
)

// A promise is a row of the table in SECURITY.md that "mage audit" holds.
type promise struct {
	vanilla string // "yes" where the check has to fail on a vanilla build
}

var promiseRow = regexp.MustCompile("^\\| .* \\| `([a-z]+\\.[a-z-]+)` \\| (yes|-) \\|$")

func promises(t *testing.T) map[string]promise {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## What a component promises\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("SECURITY.md has no section of what a component promises")
	}
	all := map[string]promise{}
	for line := range strings.Lines(section) {
		if m := promiseRow.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			if _, twice := all[m[1]]; twice {
				t.Errorf("SECURITY.md promises %s twice", m[1])
			}
			all[m[1]] = promise{vanilla: m[2]}
		} else if strings.Contains(line, "`") && strings.HasPrefix(line, "| ") {
			t.Errorf("SECURITY.md: not a row of promise, check and control: %s", line)
		}
	}
	return all
}

// SECURITY.md promises what "mage audit" checks, by the same ids, and no more:
// config.lint is another target's, and image.nonroot that of e2e's TestImage.
func TestPromisesAreChecked(t *testing.T) {
	promised := promises(t)
	for _, id := range []string{"config.lint", "image.nonroot"} {
		if _, ok := promised[id]; !ok {
			t.Errorf("SECURITY.md does not name %s", id)
		}
		delete(promised, id)
	}
	for _, c := range audit.Checks() {
		if _, ok := promised[c.ID]; !ok {
			t.Errorf("mage audit checks %s, which SECURITY.md does not promise", c.ID)
		}
		delete(promised, c.ID)
	}
	for id := range promised {
		t.Errorf("SECURITY.md promises %s, which mage audit does not check", id)
	}
}

// .ci/vanilla-fails is what CI wants to see fail on vanilla builds: at least
// what SECURITY.md says, of each component that a check speaks of.
func TestVanillaControlIsWhole(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), ".ci", "vanilla-fails"))
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(text))
	if len(listed)%2 != 0 || len(listed) == 0 {
		t.Fatal(".ci/vanilla-fails is not lines of a component and a check")
	}
	var pairs []string
	for i := 0; i < len(listed); i += 2 {
		pairs = append(pairs, listed[i]+" "+listed[i+1])
	}
	if !slices.IsSorted(pairs) {
		t.Error(".ci/vanilla-fails is not sorted")
	}
	promised := promises(t)
	for _, c := range audit.Checks() {
		for _, component := range audit.Components() {
			if !c.For(component) {
				continue
			}
			want, has := promised[c.ID].vanilla == "yes", slices.Contains(pairs, component+" "+c.ID)
			if want && !has {
				t.Errorf("SECURITY.md says that %s fails on vanilla builds; .ci/vanilla-fails does not hold %s to it", c.ID, component)
			}
		}
	}
}
