package recipes

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A Lock is what go.mod and go.sum say.
type Lock struct {
	Go       string // the toolchain's version, "1.26.8"
	Upstream string // the upstream module's version, "v0.315.0"
	GoMod    []byte
	GoSum    []byte
	Sums     Sums
	Requires []module.Version // as go.mod lists them
}

// Find returns the version at which the lock requires a module.
func (l Lock) Find(modulePath string) (module.Version, bool) {
	i := slices.IndexFunc(l.Requires, func(m module.Version) bool { return m.Path == modulePath })
	if i < 0 {
		return module.Version{}, false
	}
	return l.Requires[i], true
}

// ParseLock reads a lock whose subject is the module upstream. A go.mod
// without a toolchain line, or that does not require upstream, is an error.
func ParseLock(upstream string, goMod, goSum []byte) (Lock, error) {
	l := Lock{GoMod: goMod, GoSum: goSum}
	var err error
	if l.Sums, err = ParseSums("go.sum", goSum); err != nil {
		return Lock{}, err
	}
	f, err := modfile.Parse("go.mod", goMod, nil)
	if err != nil {
		return Lock{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if f.Toolchain == nil {
		return Lock{}, fmt.Errorf("%w: go.mod has no toolchain line: it pins the Go that builds", ErrInvalid)
	}
	l.Go = strings.TrimPrefix(f.Toolchain.Name, "go")
	for _, q := range f.Require {
		l.Requires = append(l.Requires, q.Mod)
	}
	up, ok := l.Find(upstream)
	if !ok {
		return Lock{}, fmt.Errorf("%w: go.mod does not require %s", ErrInvalid, upstream)
	}
	l.Upstream = up.Version
	return l, nil
}
