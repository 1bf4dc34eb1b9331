package webui

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
	"palisade/recipes"
)

// ErrTaken is wrapped when what another machine says of an interface is nothing
// that Pnpm would have said here.
var ErrTaken = errors.New("it is not said of this interface")

// CheckPnpm holds what another machine says of an interface that Pnpm made of in
// there against what can be told without building it: what it is made of, of which
// packages of the lock file, and which of these are embedded. Of in it looks at
// Module, Source, UI and Host. What the files are, and of how the sandbox ran, is
// the caller's to check.
func CheckPnpm(in PnpmInput, said Assets) error {
	host, ok := npm.HostOf(in.Host)
	if !ok {
		return fmt.Errorf("npm knows no packages for %s", in.Host)
	}
	locked, err := lockedFor(in.Input, host)
	if err != nil {
		return err
	}
	ui := said.UI
	switch {
	case ui.Kind != recipes.PnpmUI || ui.Note != notePnpm || ui.Report == nil:
		return fmt.Errorf("%w: it is a %.100q, %.200q", ErrTaken, ui.Kind, ui.Note)
	case len(ui.Commits) > 0:
		return fmt.Errorf("%w: it is made with packages at their commits", ErrTaken)
	case !reflect.DeepEqual(ui.Origin, in.Module):
		return fmt.Errorf("%w: it is made of %.200q@%.100q", ErrTaken, ui.Origin.Path, ui.Origin.Version)
	case !ascending(ui.Packages, func(p artifact.Package) string { return p.Name + "\x00" + p.Version }):
		return fmt.Errorf("%w: its packages are none, or out of order", ErrTaken)
	case len(ui.Host) > 0 && !ascending(ui.Host, func(f artifact.File) string { return f.Name }):
		return fmt.Errorf("%w: the files of the host that it saw are out of order", ErrTaken)
	case !ascending(said.Embedded, func(e artifact.Embedded) string { return e.PURL }):
		return fmt.Errorf("%w: what it embeds is nothing, or out of order", ErrTaken)
	}
	for _, p := range ui.Packages {
		if !slices.Contains(locked, p) {
			return fmt.Errorf("%w: package %.200q@%.100q is not in the lock file", ErrTaken, p.Name, p.Version)
		}
	}
	for _, f := range ui.Host {
		strange := strings.ContainsFunc(f.Name, func(r rune) bool { return !unicode.IsPrint(r) })
		if strange || len(f.Name) > maxHostName || !path.IsAbs(f.Name) || path.Clean(f.Name) != f.Name || f.Size < 0 || f.Digest.IsZero() {
			return fmt.Errorf("%w: it saw %.200q of the host", ErrTaken, f.Name)
		}
	}
	return checkEmbedded(in.Module.Path, ui.Packages, said.Embedded)
}

// maxHostName bounds the path of a file of the host, in bytes.
const maxHostName = 4 << 10

// checkEmbedded refuses what is not said of installed packages as embedded says it.
func checkEmbedded(module string, installed []artifact.Package, all []artifact.Embedded) error {
	known := map[string]bool{}
	for _, e := range all {
		p := artifact.Package{Name: e.Name, Version: e.Version, Integrity: e.Integrity}
		want := artifact.Embedded{
			PURL: npm.PURL(p), Name: p.Name, Version: p.Version, Integrity: p.Integrity,
			Evidence: artifact.ByBundler, In: module, Files: e.Files, Requires: e.Requires,
		}
		if !slices.Contains(installed, p) || len(e.Files) > 0 || !reflect.DeepEqual(e, want) {
			return fmt.Errorf("%w: it embeds %.200q", ErrTaken, e.PURL)
		}
		known[e.PURL] = true
	}
	for _, e := range all {
		if len(e.Requires) > 0 && !ascending(e.Requires, func(purl string) string { return purl }) {
			return fmt.Errorf("%w: what %.200q requires is out of order", ErrTaken, e.PURL)
		}
		for _, to := range e.Requires {
			if !known[to] || to == e.PURL {
				return fmt.Errorf("%w: %.200q requires %.200q", ErrTaken, e.PURL, to)
			}
		}
	}
	return nil
}

// ascending reports whether there is anything in list, each once and in order.
func ascending[T any](list []T, name func(T) string) bool {
	for i := range list {
		if i > 0 && name(list[i-1]) >= name(list[i]) {
			return false
		}
	}
	return len(list) > 0
}
