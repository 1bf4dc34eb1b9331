package gobuild

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/source"
	"palisade/recipes"
)

// ErrSurprise is wrapped when a binary's build info is not what was asked for.
var ErrSurprise = errors.New("binary is not what was asked for")

// readBack reads the build info of every binary in out and checks it.
func (c *Compiler) readBack(p source.Patched, t Target, out string) ([]artifact.Binary, error) {
	var all []artifact.Binary
	for _, want := range p.Tree.Recipe().Binaries {
		name := fileName(want.Name, t)
		info, err := buildinfo.ReadFile(filepath.Join(out, name))
		if err != nil {
			return nil, fmt.Errorf("reading back %s: %w", name, err)
		}
		if err := check(info, p, t, want.Package); err != nil {
			return nil, fmt.Errorf("reading back %s: %w: %w", name, ErrSurprise, err)
		}
		b := observed(info, p)
		b.Name = name
		if b.Digest, b.Size, err = artifact.DigestFile(filepath.Join(out, name)); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b artifact.Binary) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// check holds build info against the lock.
func check(info *debug.BuildInfo, p source.Patched, t Target, pkg string) error {
	var changed []artifact.Patched
	for _, s := range p.Sealed {
		changed = append(changed, s.Artifact())
	}
	return checkBinary(observed(info, p), p.Tree.Recipe(), changed, t, pkg)
}

// CheckBinary refuses (ErrSurprise) a binary whose build info is not what a
// recipe would have it be: compiled by another Go, of another package or main
// module, with another setting, or with a module that neither the lock holds nor
// is among those that were changed, each as they have it.
func CheckBinary(b artifact.Binary, r *recipes.Recipe, changed []artifact.Patched, t Target) error {
	for _, want := range r.Binaries {
		if fileName(want.Name, t) != b.Name {
			continue
		}
		if err := checkBinary(b, r, changed, t, want.Package); err != nil {
			return fmt.Errorf("%s: %w: %w", b.Name, ErrSurprise, err)
		}
		return nil
	}
	return surprise("%.80q is no binary of recipe %s", b.Name, r.Name)
}

func checkBinary(b artifact.Binary, r *recipes.Recipe, changed []artifact.Patched, t Target, pkg string) error {
	if b.GoVersion != "go"+r.Lock.Go {
		return fmt.Errorf("it was compiled by %s, not go%s", b.GoVersion, r.Lock.Go)
	}
	if b.Package != pkg {
		return fmt.Errorf("its main package is %s, not %s", b.Package, pkg)
	}
	if b.Main.Path != r.Module || b.Main.Version != r.Lock.Upstream {
		return fmt.Errorf("its main module is %s@%s, not %s@%s", b.Main.Path, b.Main.Version, r.Module, r.Lock.Upstream)
	}
	if err := checkSettings(b.Settings, tagsFor(r, t), t); err != nil {
		return err
	}
	for _, m := range append([]artifact.Module{b.Main}, b.Modules...) {
		if err := checkModule(m, r, changed); err != nil {
			return err
		}
	}
	return nil
}

// checkModule holds one linked module against the lock and, if it was
// changed, against what it was sealed as.
func checkModule(m artifact.Module, r *recipes.Recipe, changed []artifact.Patched) error {
	for _, c := range changed {
		if c.From.Path != m.Path {
			continue
		}
		if m.Version != c.From.Version || m.Replace == nil || m.Replace.Path != c.To.Path ||
			m.Replace.Version != c.To.Version || m.Replace.Sum != c.To.Sum {
			return fmt.Errorf("module %s is not the patched %s@%s with %s", m.Path, c.To.Path, c.To.Version, c.To.Sum)
		}
		return nil
	}
	got := m
	if m.Replace != nil { // upstream's own replacement, which the lock repeats
		got = *m.Replace
	}
	locked := r.Lock.Sums[module.Version{Path: got.Path, Version: got.Version}]
	if locked == "" || got.Sum != locked {
		return fmt.Errorf("module %s@%s has the hash %q, the lock has %q", got.Path, got.Version, got.Sum, locked)
	}
	return nil
}

// checkSettings wants every setting that was asked for, as it was asked for,
// and no other but the defaults that Go derives from the language version.
func checkSettings(got []artifact.Setting, tags []string, t Target) error {
	want := map[string]string{
		"-buildmode": "exe", "-compiler": "gc", "-trimpath": "true", "CGO_ENABLED": "0",
		"GOOS": t.Platform.OS, "GOARCH": t.Platform.Arch,
	}
	if len(tags) > 0 {
		want["-tags"] = strings.Join(tags, ",")
	}
	if name, level, ok := strings.Cut(instructionSet(t.Platform), "="); ok {
		want[name] = level
	}
	for _, s := range got {
		value, ok := want[s.Key]
		switch {
		case s.Key == "DefaultGODEBUG":
		case !ok:
			return fmt.Errorf("setting %s=%q was not asked for", s.Key, s.Value)
		case s.Value != value:
			return fmt.Errorf("setting %s is %q, not %q", s.Key, s.Value, value)
		}
		delete(want, s.Key)
	}
	if missing := slices.Sorted(maps.Keys(want)); len(missing) > 0 {
		return fmt.Errorf("setting %s is missing", missing[0])
	}
	return nil
}

// observed is build info as a manifest has it.
func observed(info *debug.BuildInfo, p source.Patched) artifact.Binary {
	zips := map[module.Version]artifact.Digest{}
	for _, m := range p.Tree.Modules() {
		zips[m.Version] = m.ZipDigest
	}
	var convert func(m *debug.Module) artifact.Module
	convert = func(m *debug.Module) artifact.Module {
		a := artifact.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
		if zip, ok := zips[module.Version{Path: m.Path, Version: m.Version}]; ok {
			a.Zip = &zip
		}
		if m.Replace != nil {
			replaced := convert(m.Replace)
			a.Replace = &replaced
		}
		return a
	}
	b := artifact.Binary{GoVersion: info.GoVersion, Package: info.Path, Main: convert(&info.Main)}
	for _, d := range info.Deps {
		b.Modules = append(b.Modules, convert(d))
	}
	for _, s := range info.Settings {
		b.Settings = append(b.Settings, artifact.Setting{Key: s.Key, Value: s.Value})
	}
	slices.SortFunc(b.Modules, func(x, y artifact.Module) int { return strings.Compare(x.Path, y.Path) })
	slices.SortFunc(b.Settings, func(x, y artifact.Setting) int { return strings.Compare(x.Key, y.Key) })
	return b
}
