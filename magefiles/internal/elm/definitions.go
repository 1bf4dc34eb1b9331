package elm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Written is what the compiler put into a program.
type Written struct {
	Packages []string            // names of those of which it wrote a definition, sorted
	Requires map[string][]string // which of these each imports by its elm.json, sorted
	Runtime  bool                // functions of the compiler's own are there too
}

var (
	definitionForm = regexp.MustCompile(`(?m)^(?:var|let|const|function|class)[ \t]+([^\s=(;]*)`)
	runtimeForm    = regexp.MustCompile(`^[FA][2-9]?$`)
	kernelForm     = regexp.MustCompile(`^_([A-Za-z]+)_`)
)

// application is what the compiler calls an application, as a package.
const application = "$author$project$"

// exported is the one name that the bundler's plugin for Elm adds.
const exported = "Elm"

// Definitions tells from code, which the compiler wrote for an application and in
// which nobody shortened a name, of which packages something is there. Every
// definition at the top of the code is attributed by its name:
//
//	$author$project$Main$view     the application's own
//	$elm$core$List$map            of package elm/core ("-" is "_" there)
//	_List_fromArray               of the package that has src/Elm/Kernel/List.js
//	F2, A2                        the compiler's runtime
//
// A package that is imported and of which the compiler kept nothing is not among
// them. One definition that is nobody's wraps ErrUnknown, and so does code
// without any of the application's.
func Definitions(code string, packages []Package) (Written, error) {
	prefixes, kernels := map[string]string{}, map[string]string{}
	for _, p := range packages {
		prefixes[mangle(p.Name)] = p.Name
		if err := p.kernels(kernels); err != nil {
			return Written{}, err
		}
	}
	w, own, seen := Written{Requires: map[string][]string{}}, false, map[string]bool{}
	for _, found := range definitionForm.FindAllStringSubmatch(code, -1) {
		name := found[1]
		of := ""
		switch kernel := kernelForm.FindStringSubmatch(name); {
		case strings.HasPrefix(name, application):
			own = true
			continue
		case name == exported:
			continue
		case runtimeForm.MatchString(name):
			w.Runtime = true
			continue
		case kernel != nil:
			of = kernels[kernel[1]]
		default:
			// $author$name$Module$definition
			if parts := strings.SplitN(name, "$", 4); len(parts) == 4 && parts[0] == "" {
				of = prefixes["$"+parts[1]+"$"+parts[2]+"$"]
			}
		}
		if of == "" {
			return Written{}, fmt.Errorf("%w: %.100q", ErrUnknown, name)
		}
		seen[of] = true
	}
	if !own {
		return Written{}, fmt.Errorf("%w: it has none of the application", ErrUnknown)
	}
	for _, p := range packages {
		if !seen[p.Name] {
			continue
		}
		w.Packages = append(w.Packages, p.Name)
		names, err := p.dependencies()
		if err != nil {
			return Written{}, err
		}
		w.Requires[p.Name] = slices.DeleteFunc(names, func(n string) bool { return !seen[n] })
	}
	slices.Sort(w.Packages)
	return w, nil
}

func mangle(name string) string {
	return "$" + strings.NewReplacer("/", "$", "-", "_").Replace(name) + "$"
}

// kernels enters p's modules that are written in JavaScript. Only packages of
// elm's own have any.
func (p Package) kernels(all map[string]string) error {
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	files, err := fs.ReadDir(root.FS(), "src/Elm/Kernel")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("package %s: %w", p, err)
	}
	for _, f := range files {
		module, ok := strings.CutSuffix(f.Name(), ".js")
		if !ok || strings.Contains(module, ".") {
			continue // List.server.js is for programs that no browser runs
		}
		if other := all[module]; other != "" {
			return fmt.Errorf("%w: %s is of %s and of %s", ErrUnknown, path.Join("src/Elm/Kernel", f.Name()), other, p.Name)
		}
		all[module] = p.Name
	}
	return nil
}
