package upstream

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"palisade/magefiles/internal/goprogram"
)

// versions is the package whose variables promu and this project stamp.
const versions = "github.com/prometheus/common/version."

var stamped = []string{"Version", "Revision", "Branch", "BuildUser", "BuildDate"}

// A program is what one says of itself.
type program struct {
	size     int64
	form     string // what loads it
	info     *debug.BuildInfo
	stamps   map[string]string // by the names of stamped; nil if none can be read
	told     map[string]string // of those, what the linker was told; nil if nothing says so
	linker   []string          // what the linker was told beside, word by word
	embedded map[string]file   // by name; of one name in several tables the later ones have a number
	streams  map[[sha256.Size]byte]int64
	assets   map[string]bool // which of upstream's are in it
	packages []goprogram.Package
	err      error // why packages is nil
}

// read takes a program apart that lies in memory, and looks for assets in it.
func read(data []byte, assets map[string][]byte) (p program, err error) {
	defer func() {
		if failed := recover(); failed != nil { // of the debug packages, which do not promise to withstand all
			err = fmt.Errorf("%w: reading a program: %v", ErrArchive, failed)
		}
	}()
	r := bytes.NewReader(data)
	p = program{size: r.Size()}
	if p.form, err = formOf(r); err != nil {
		return p, fmt.Errorf("%w: reading a program: %w", ErrArchive, err)
	}
	if err := boundInfo(data); err != nil {
		return p, err
	}
	if p.info, err = buildinfo.Read(r); err != nil {
		return p, fmt.Errorf("%w: reading build info: %w", ErrArchive, err)
	}
	if err := unique(p.info); err != nil {
		return p, err
	}
	for _, s := range p.info.Settings {
		if s.Key == "-ldflags" {
			p.told, p.linker = linkerFlags(s.Value)
		}
	}
	var names []string
	for _, name := range stamped {
		names = append(names, versions+name)
	}
	held, err := goprogram.Stamps(r, r.Size(), names...)
	if err != nil {
		return p, err
	}
	p.stamps = maps.Clone(p.told)
	for name, value := range held { // what is there goes before what was asked for
		if p.stamps == nil {
			p.stamps = map[string]string{}
		}
		p.stamps[strings.TrimPrefix(name, versions)] = value
	}
	files, err := goprogram.Files(r, r.Size())
	if err != nil {
		return p, err
	}
	if err := p.embed(data, files); err != nil {
		return p, err
	}
	if err := p.find(data, assets); err != nil {
		return p, err
	}
	p.packages, p.err = goprogram.Packages(r, r.Size())
	return p, nil
}

// formOf is what kind of program it is, and what the system has to load with it.
func formOf(r io.ReaderAt) (string, error) {
	magic := make([]byte, 4)
	if _, err := r.ReadAt(magic, 0); err != nil {
		return "", err
	}
	switch {
	case string(magic) == elf.ELFMAG:
		f, err := elf.NewFile(r)
		if err != nil {
			return "", err
		}
		form := fmt.Sprintf("%v %v %v %v", f.Class, f.Data, f.Machine, f.Type)
		for _, s := range f.Progs {
			if s.Type == elf.PT_INTERP || s.Type == elf.PT_DYNAMIC {
				form += fmt.Sprintf(" %v", s.Type)
			}
		}
		return form, nil
	case string(magic[:2]) == "MZ":
		f, err := pe.NewFile(r)
		if err != nil {
			return "", err
		}
		libraries, err := f.ImportedSymbols()
		if err != nil {
			return "", err
		}
		for i, s := range libraries {
			_, libraries[i], _ = strings.Cut(s, ":")
		}
		slices.Sort(libraries)
		return fmt.Sprintf("PE machine %#x, with %s", f.Machine, strings.Join(slices.Compact(libraries), " ")), nil
	}
	f, err := macho.NewFile(r)
	if err != nil {
		return "", err
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Mach-O %v %v, with %s", f.Cpu, f.Type, strings.Join(libraries, " ")), nil
}

// Bounds of build info. That of prometheus has 25 kB and 200 modules.
const (
	maxInfo    = 1 << 20 // bytes
	infoMagic  = "\xff Go buildinf:"
	infoHeader = 32 // bytes
	infoInline = 2  // flag, of Go 1.18 and later
)

// boundInfo refuses build info that package buildinfo would take apart however
// large it is, and that of a form that no Go of today writes. It is looked for
// everywhere: which piece of the file package buildinfo looks at is its own.
func boundInfo(data []byte) error {
	for at := 0; ; at++ {
		next := bytes.Index(data[at:], []byte(infoMagic))
		if next < 0 {
			return nil
		}
		at += next
		rest := data[at:]
		if len(rest) < infoHeader {
			return nil
		}
		if rest[15]&infoInline == 0 {
			if pointer := rest[14]; pointer == 4 || pointer == 8 {
				return fmt.Errorf("%w: its build info is of before Go 1.18", ErrArchive)
			}
			continue
		}
		rest = rest[infoHeader:]
		for range 2 { // Go's version, and the rest
			length, n := binary.Uvarint(rest)
			if n <= 0 {
				break
			}
			if length > maxInfo {
				return fmt.Errorf("%w: build info of more than %d bytes", ErrTooLarge, maxInfo)
			}
			rest = rest[min(len(rest), n+int(length)):]
		}
	}
}

// unique refuses build info that says two things of one: of which only one would be
// compared.
func unique(info *debug.BuildInfo) error {
	seen := map[string]bool{"module " + info.Main.Path: true}
	names := make([]string, 0, len(info.Deps)+len(info.Settings))
	for _, m := range info.Deps {
		names = append(names, "module "+m.Path)
	}
	for _, s := range info.Settings {
		names = append(names, "setting "+s.Key)
	}
	for _, name := range names {
		if seen[name] {
			return fmt.Errorf("%w: build info has %.200q twice", ErrArchive, name)
		}
		seen[name] = true
	}
	return nil
}

// linkerFlags takes apart what the linker was told, as promu writes it: -X with
// what is to be stamped, each once, and everything else.
func linkerFlags(s string) (stamps map[string]string, others []string) {
	stamps = map[string]string{}
	words := words(s)
	for i := 0; i < len(words); i++ {
		if words[i] != "-X" || i+1 == len(words) {
			others = append(others, words[i])
			continue
		}
		i++
		name, value, _ := strings.Cut(words[i], "=")
		short, ours := strings.CutPrefix(name, versions)
		if _, twice := stamps[short]; !ours || twice || !slices.Contains(stamped, short) {
			others = append(others, "-X "+words[i])
			continue
		}
		stamps[short] = value
	}
	return stamps, others
}

// words splits at blanks, but not between quotes.
func words(s string) (all []string) {
	var word strings.Builder
	quote, inside := rune(0), false
	end := func() {
		if inside {
			all = append(all, word.String())
		}
		word.Reset()
		inside = false
	}
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inside = r, true
		case quote == 0 && strings.ContainsRune(" \t\r\n", r):
			end()
		default:
			inside = true
			word.WriteRune(r)
		}
	}
	end()
	return all
}
