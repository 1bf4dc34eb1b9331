package update

import (
	"fmt"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/attestations/page"
)

// maxWords bounds what is kept of upstream's words, in bytes.
const maxWords = 500

// parseGoMod reads the go.mod of a version that is not ours, as the go command
// does: what it does not know there it passes over.
func parseGoMod(m module.Version, data []byte) (*modfile.File, error) {
	f, err := modfile.ParseLax(m.String()+"/go.mod", data, nil)
	if err != nil {
		return nil, fmt.Errorf("reading go.mod: %.300w", err)
	}
	return f, nil
}

// retracted reports whether a go.mod retracts a version, and upstream's reason.
func retracted(f *modfile.File, version string) (why string, ok bool) {
	for _, r := range f.Retract {
		if semver.IsValid(r.Low) && semver.IsValid(r.High) && semver.Compare(r.Low, version) <= 0 && semver.Compare(version, r.High) <= 0 {
			if why = line(r.Rationale); why == "" {
				why = "upstream gives no reason"
			}
			return why, true
		}
	}
	return "", false
}

// line is the beginning of what others wrote, on one line and without what would
// move a cursor.
func line(s string) string {
	s = page.Line(s)
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "") + "…"
	}
	return s
}

// RaiseGoMod is the go.mod of a recipe that requires another version of path,
// which it has to require. Comments and order stay.
func RaiseGoMod(goMod []byte, path, version string) ([]byte, error) {
	f, err := modfile.Parse("go.mod", goMod, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range f.Require {
		if r.Mod.Path == path {
			if err := f.AddRequire(path, version); err != nil {
				return nil, err
			}
			return f.Format()
		}
	}
	return nil, fmt.Errorf("go.mod: it does not require %s", path)
}
