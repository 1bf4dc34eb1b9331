package recipes

import (
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
	"golang.org/x/mod/module"
)

// A Licence states what no classifier can tell: the licence of one package, by
// its purl without qualifiers, and why it is known.
type Licence struct {
	Of   string   `yaml:"of"`   // pkg:golang/github.com/foo/bar@v1.2.3
	Is   string   `yaml:"is"`   // an SPDX licence expression
	Why  string   `yaml:"why"`  // what it is known from, in a sentence
	Text []string `yaml:"text"` // files of the package that hold its text, or of the recipe's folder if they begin with "licences/"
	UI   string   `yaml:"ui"`   // the one kind of web interface with which this has to be stated; any if empty
}

var (
	purlForm = regexp.MustCompile(`^pkg:[a-z]+/[^?#\s]+@[^?#\s@]+$`)
	cpeForm  = regexp.MustCompile(`^cpe:2\.3:a:[a-z0-9_\-]+:[a-z0-9_\-]+$`)
)

func (r *Recipe) validateContents(bad func(string, ...any) error) error {
	switch {
	case !strings.HasPrefix(r.Homepage, "https://"):
		return bad("homepage %q is not an https address", r.Homepage)
	case r.Originator == "":
		return bad("originator is missing: who makes %s upstream", r.Name)
	case !cpeForm.MatchString(r.CPE):
		return bad("cpe %q is not of the form cpe:2.3:a:vendor:product", r.CPE)
	}
	if err := validateLicences(r.Licences, r.Dir); err != nil {
		return bad("%v", err)
	}
	if err := r.validateStated(bad); err != nil {
		return err
	}
	return r.validateBundled(bad)
}

// validateStated refuses a statement of a Go module that the lock does not
// hold in that version: it would outlive an upgrade, unread.
func (r *Recipe) validateStated(bad func(string, ...any) error) error {
	for _, l := range r.Licences {
		name, ok := strings.CutPrefix(l.Of, "pkg:golang/")
		if !ok || strings.HasPrefix(name, "stdlib@") {
			continue
		}
		locked := func(m module.Version) bool {
			// A purl escapes some characters and has no capitals in places.
			plain, err := url.PathUnescape(name)
			return err == nil && strings.EqualFold(m.String(), plain)
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(r.Lock.Sums)), locked) && !(r.UI != nil && r.UI.Bundle != nil && locked(module.Version{Path: r.UI.Bundle.Module, Version: r.UI.Bundle.Version})) {
			return bad("licence of %s: the lock does not hold that version; look at the licence of the one it holds, and state that or remove the statement", l.Of)
		}
	}
	return nil
}

// validateLicences checks statements; dir is where their own texts lie, nil if
// they may have none.
func validateLicences(all []Licence, dir fs.FS) error {
	for i, l := range all {
		if !purlForm.MatchString(l.Of) || l.Is == "" || strings.TrimSpace(l.Why) == "" || len(l.Text) == 0 {
			return fmt.Errorf("licence %d: of (a purl with a version and no more), is, why and text are all needed", i+1)
		}
		if slices.ContainsFunc(all[:i], func(o Licence) bool { return o.Of == l.Of }) {
			return fmt.Errorf("licence of %s is there twice", l.Of)
		}
		if !ValidLicence(l.Is) {
			return fmt.Errorf("licence of %s: %q is not an SPDX licence expression", l.Of, l.Is)
		}
		if l.UI != "" && (dir == nil || !slices.Contains(kinds, l.UI)) {
			return fmt.Errorf("licence of %s: ui %q is no kind of web interface that a recipe has", l.Of, l.UI)
		}
		for k, name := range l.Text {
			if !fs.ValidPath(name) || name == "." || slices.Contains(l.Text[:k], name) {
				return fmt.Errorf("licence of %s: text %q is not a plain path, or there twice", l.Of, name)
			}
			if !strings.HasPrefix(name, LicenceDir) {
				continue
			}
			if dir == nil {
				return fmt.Errorf("licence of %s: text %q is of a recipe's folder, but all recipes share the statement", l.Of, name)
			}
			if info, err := fs.Stat(dir, name); err != nil || !info.Mode().IsRegular() || path.Dir(name) != strings.TrimSuffix(LicenceDir, "/") {
				return fmt.Errorf("licence of %s: text %q is not a file of this recipe", l.Of, name)
			}
		}
	}
	return nil
}

// MaxExpression bounds a licence expression, in bytes, before a parser that
// recurses sees it.
const MaxExpression = 1000

// ValidLicence reports whether an SPDX licence expression of bounded length is
// one.
func ValidLicence(expression string) (valid bool) {
	if len(expression) > MaxExpression {
		return false
	}
	// The parser panics where an expression ends too early, as in "(".
	defer func() {
		if recover() != nil {
			valid = false
		}
	}()
	valid, _ = spdxexp.ValidateLicenses([]string{expression})
	return valid
}

// TextsName is the file of every archive that holds the texts of all licences.
const TextsName = "THIRD_PARTY_LICENSES"

// LicenceDir is the folder of a recipe that holds the texts of licences that it
// states.
const LicenceDir = "licences/"
