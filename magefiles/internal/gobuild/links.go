package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

// Links says how the modules of one binary hang together, as the imports of
// the packages that are linked for its platform have it.
type Links struct {
	Binary  string `json:"binary"`
	Modules []Link `json:"modules"` // sorted by path, the standard library among them
}

// A Link is a module as it is linked into a binary.
type Link struct {
	Module   string   `json:"module"`   // path as build info has it, replaced or not; Std for the standard library
	Packages []string `json:"packages"` // import paths that are linked, sorted
	Requires []string `json:"requires"` // paths of the other modules whose packages these import, sorted
}

// Std names the standard library among modules.
const Std = "std"

// listed is what "go list -deps -json" says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string          // as the source has them
	ImportMap  map[string]string // to what they mean, where that differs: the standard library's own copies
}

func (l listed) module() (string, error) {
	switch {
	case l.Standard && l.Module == nil:
		return Std, nil
	case l.Module != nil && l.Module.Path != "":
		return l.Module.Path, nil
	}
	return "", fmt.Errorf("package %s belongs to no module", l.ImportPath)
}

// list runs "go list" as the compiler was run, in spec's place.
func list(ctx context.Context, spec sandbox.Spec, args []string) (map[string]listed, error) {
	spec.Args = args
	var out, log bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &log
	if _, err := sandbox.Run(ctx, spec); err != nil {
		return nil, fmt.Errorf("listing packages: %w\n%s", err, bytes.TrimSpace(log.Bytes()))
	}
	return parseListing(&out)
}

func parseListing(r io.Reader) (map[string]listed, error) {
	all := map[string]listed{}
	for dec := json.NewDecoder(r); ; {
		var l listed
		if err := dec.Decode(&l); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("listing packages: reading the go command's answer: %w", err)
		}
		all[l.ImportPath] = l
	}
}

// linksOf follows the imports of a binary's main package.
func linksOf(packages map[string]listed, binary, main string) (Links, error) {
	if _, ok := packages[main]; !ok {
		return Links{}, fmt.Errorf("the go command did not list package %s", main)
	}
	linked, requires := map[string][]string{}, map[string]map[string]bool{}
	seen := map[string]bool{main: true}
	for queue := []string{main}; len(queue) > 0; queue = queue[1:] {
		l := packages[queue[0]]
		from, err := l.module()
		if err != nil {
			return Links{}, err
		}
		linked[from] = append(linked[from], l.ImportPath)
		if requires[from] == nil {
			requires[from] = map[string]bool{}
		}
		imports := l.Imports
		if l.ImportPath == main {
			imports = append(slices.Clip(imports), "runtime") // the linker's own doing, also where main imports nothing
		}
		for _, name := range imports {
			if mapped, ok := l.ImportMap[name]; ok {
				name = mapped
			}
			if name == "C" {
				continue // is no package
			}
			next, ok := packages[name]
			if !ok {
				return Links{}, fmt.Errorf("package %s imports %s, which the go command did not list", l.ImportPath, name)
			}
			to, err := next.module()
			if err != nil {
				return Links{}, err
			}
			if to != from {
				requires[from][to] = true
			}
			if !seen[name] {
				seen[name] = true
				queue = append(queue, name)
			}
		}
	}
	links := Links{Binary: binary}
	for _, path := range slices.Sorted(maps.Keys(linked)) {
		slices.Sort(linked[path])
		links.Modules = append(links.Modules, Link{
			Module: path, Packages: linked[path],
			Requires: slices.Sorted(maps.Keys(requires[path])),
		})
	}
	return links, nil
}

// agree reports whether what the imports say is what the linker wrote into
// the binary: the same modules, no more and no fewer.
func (l Links) agree(b artifact.Binary) error {
	want := map[string]bool{Std: true, b.Main.Path: true}
	for _, m := range b.Modules {
		want[m.Path] = true
	}
	for _, m := range l.Modules {
		if !want[m.Module] {
			return fmt.Errorf("its packages are of module %s, which its build info does not name", m.Module)
		}
		delete(want, m.Module)
	}
	if len(want) > 0 {
		return fmt.Errorf("its build info names module %s, of which no package is imported", slices.Min(slices.Collect(maps.Keys(want))))
	}
	return nil
}

// links lists what each binary links and holds it against its build info.
func links(packages map[string]listed, binaries []artifact.Binary) ([]Links, error) {
	var all []Links
	for _, b := range binaries {
		l, err := linksOf(packages, b.Name, b.Package)
		if err == nil {
			err = l.agree(b)
		}
		if err != nil {
			return nil, fmt.Errorf("reading what %s links: %w: %w", b.Name, ErrSurprise, err)
		}
		all = append(all, l)
	}
	return all, nil
}
