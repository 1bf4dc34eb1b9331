package verify

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// An insideOf is what was found in an archive.
type insideOf struct {
	members  []artifact.File
	binaries map[string]found // by member name
	programs []string         // names of members that can be run and are none of the binaries
}

// found is a binary as it was found in an archive.
type found struct {
	artifact.Binary // as its build info has it: without the digests of zip files
	err             error
}

// lookInside reads the archive of r from f and gathers what it holds.
func lookInside(ctx context.Context, r artifact.Record, f *io.SectionReader) (insideOf, error) {
	in := insideOf{binaries: map[string]found{}}
	isBinary := func(m artifact.File) bool {
		return slices.ContainsFunc(r.Binaries, func(b artifact.Binary) bool { return b.Name == path.Base(m.Name) && b.Digest == m.Digest })
	}
	u := newUnpacker(r.Members, isBinary, func(m artifact.File, content []byte) error {
		in.members = append(in.members, m)
		if content == nil && isProgram(m) {
			in.programs = append(in.programs, m.Name)
		}
		if content != nil {
			b, err := readBinary(content)
			b.Name, b.Size, b.Digest = path.Base(m.Name), m.Size, m.Digest
			in.binaries[m.Name] = found{b, err}
		}
		return nil
	})
	switch {
	case strings.HasSuffix(r.Name, ".tar.gz"):
		return in, u.tarGz(unpack.Cancellable(ctx, f))
	case strings.HasSuffix(r.Name, ".zip"):
		return in, u.zipped(f, f.Size())
	}
	return in, fmt.Errorf("%w: %s is neither .tar.gz nor .zip", ErrArchive, r.Name)
}

// isProgram reports whether some system runs a file like f.
func isProgram(f artifact.File) bool {
	return f.Mode != fmt.Sprintf("%04o", unpack.PlainMode) || strings.EqualFold(path.Ext(f.Name), ".exe")
}

// readBinary reads build info as release.json has it.
func readBinary(content []byte) (artifact.Binary, error) {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return artifact.Binary{}, err
	}
	b := artifact.Binary{GoVersion: info.GoVersion, Package: info.Path, Main: moduleOf(&info.Main)}
	for _, d := range info.Deps {
		b.Modules = append(b.Modules, moduleOf(d))
	}
	for _, s := range info.Settings {
		b.Settings = append(b.Settings, artifact.Setting{Key: s.Key, Value: s.Value})
	}
	slices.SortFunc(b.Modules, func(x, y artifact.Module) int { return strings.Compare(x.Path, y.Path) })
	slices.SortFunc(b.Settings, func(x, y artifact.Setting) int { return strings.Compare(x.Key, y.Key) })
	return b, nil
}

func moduleOf(m *debug.Module) artifact.Module {
	a := artifact.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		r := moduleOf(m.Replace)
		a.Replace = &r
	}
	return a
}

// withoutZips is m as build info can have it.
func withoutZips(m artifact.Module) artifact.Module {
	m.Zip = nil
	if m.Replace != nil {
		r := withoutZips(*m.Replace)
		m.Replace = &r
	}
	return m
}

// check holds the build info of every binary against the record.
func (in insideOf) check(r artifact.Record) error {
	if len(r.Binaries) == 0 || len(in.binaries) != len(r.Binaries) {
		return fmt.Errorf("%w: the archive holds %d binaries, release.json names %d", ErrBuildInfo, len(in.binaries), len(r.Binaries))
	}
	if len(in.programs) > 0 {
		return fmt.Errorf("%w: %.200q can be run, and release.json names it as no binary", ErrBuildInfo, in.programs[0])
	}
	for _, b := range r.Binaries {
		f, ok := in.binary(b.Name)
		if !ok {
			return fmt.Errorf("%w: the archive does not hold %s", ErrBuildInfo, b.Name)
		}
		if f.err != nil {
			return fmt.Errorf("%w: reading the build info of %s: %w", ErrBuildInfo, b.Name, f.err)
		}
		err := sameBinary(f.Binary, b)
		if err == nil {
			err = belongs(b, r)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrBuildInfo, b.Name, err)
		}
	}
	for _, p := range r.Patched {
		if err := in.patched(p); err != nil {
			return fmt.Errorf("%w: %w", ErrBuildInfo, err)
		}
	}
	return nil
}

func (in insideOf) binary(name string) (found, bool) {
	for member, f := range in.binaries {
		if path.Base(member) == name {
			return f, true
		}
	}
	return found{}, false
}

func sameBinary(got, want artifact.Binary) error {
	if got.GoVersion != want.GoVersion || got.Package != want.Package || got.Size != want.Size {
		return fmt.Errorf("it is %.200q by %.40s, not %q by %s", got.Package, got.GoVersion, want.Package, want.GoVersion)
	}
	if !reflect.DeepEqual(got.Main, withoutZips(want.Main)) {
		return fmt.Errorf("its main module is %.300s, not %.300s", moduleText(got.Main), moduleText(want.Main))
	}
	if !slices.Equal(got.Settings, want.Settings) {
		return fmt.Errorf("its settings are %.300v, not %.300v", got.Settings, want.Settings)
	}
	for i := range max(len(got.Modules), len(want.Modules)) {
		if i >= len(got.Modules) || i >= len(want.Modules) {
			return fmt.Errorf("it links %d modules, not %d", len(got.Modules), len(want.Modules))
		}
		if g, w := got.Modules[i], withoutZips(want.Modules[i]); !reflect.DeepEqual(g, w) {
			return fmt.Errorf("it links %.300s, not %.300s", moduleText(g), moduleText(w))
		}
	}
	return nil
}

// belongs holds a binary against what the record says of the whole artifact, by
// which it is judged: the platform, the compiler, upstream's module, and that
// in place of a module nothing is linked but what it was patched to, or what
// upstream has there itself: that was fetched, and so has a zip file.
func belongs(b artifact.Binary, r artifact.Record) error {
	for _, s := range []artifact.Setting{{Key: "GOOS", Value: r.Platform.OS}, {Key: "GOARCH", Value: r.Platform.Arch}} {
		if !slices.Contains(b.Settings, s) {
			return fmt.Errorf("it was not compiled for %s", r.Platform)
		}
	}
	if !slices.ContainsFunc(r.Toolchains, func(t artifact.Tool) bool { return t.Name == "go" && "go"+t.Version == b.GoVersion }) {
		return fmt.Errorf("it was compiled by %.40s, which is not the toolchain that is named", b.GoVersion)
	}
	if b.Main.Path != r.Source.Path || b.Main.Version != r.Source.Version || b.Main.Replace == nil && b.Main.Sum != r.Source.Sum {
		return fmt.Errorf("its main module is %.300s, not the source %.300s", moduleText(b.Main), moduleText(r.Source))
	}
	for _, m := range append([]artifact.Module{b.Main}, b.Modules...) {
		if m.Replace != nil && m.Replace.Zip == nil && !slices.ContainsFunc(r.Patched, func(p artifact.Patched) bool {
			return p.From.Path == m.Path && p.From.Version == m.Version && *m.Replace == p.To
		}) {
			return fmt.Errorf("it links %.300s, and that was not patched so", moduleText(m))
		}
	}
	return nil
}

func moduleText(m artifact.Module) string {
	text := m.Path + " " + m.Version + " " + m.Sum
	if m.Replace != nil {
		text += " => " + moduleText(*m.Replace)
	}
	return text
}

// patched holds what is said to have been patched against what was linked: a
// binary that links it links what was sealed, and one at least does.
func (in insideOf) patched(p artifact.Patched) error {
	linked := false
	for _, member := range slices.Sorted(maps.Keys(in.binaries)) {
		f := in.binaries[member]
		for _, m := range append([]artifact.Module{f.Main}, f.Modules...) {
			if m.Path != p.From.Path {
				continue
			}
			linked = true
			if m.Replace == nil || m.Replace.Path != p.To.Path || m.Replace.Version != p.To.Version || m.Replace.Sum != p.To.Sum {
				return fmt.Errorf("%s links %.300s, not the patched %s %s", f.Name, moduleText(m), p.To.Version, p.To.Sum)
			}
		}
	}
	if !linked {
		return fmt.Errorf("no binary links %s, which is said to have been patched", p.From.Path)
	}
	return nil
}

// compiled is what stood in for m, or m itself.
func compiled(m artifact.Module) artifact.Module {
	for m.Replace != nil {
		m = *m.Replace
	}
	return m
}

// Archive makes the checks 9 and 10, members and binaries, of the archive of an
// artifact, for whoever is about to vouch for it: nobody has signed anything yet.
// Its digest is not looked at. The largest binary is held whole.
func Archive(ctx context.Context, r artifact.Record, f io.ReaderAt) error {
	for _, b := range r.Binaries {
		if b.Size > unpack.MaxMember {
			return fmt.Errorf("%s: %w: a binary of %d bytes", r.Name, ErrTooLarge, b.Size)
		}
	}
	in, err := lookInside(ctx, r, io.NewSectionReader(f, 0, r.Size))
	if err == nil {
		err = in.check(r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	return nil
}
