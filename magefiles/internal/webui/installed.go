package webui

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"palisade/attestations/artifact"
)

// maxPackageJSON bounds a package.json, in bytes.
const maxPackageJSON = 4 << 20

// installed returns which of locked pnpm has put into its virtual store
// (node_modules/.pnpm), sorted. It reads the packages themselves, not pnpm's
// word for it; one that is not of locked is an error.
func installed(nodeModules string, locked []artifact.Package) ([]artifact.Package, error) {
	known := map[string]artifact.Package{}
	for _, p := range locked {
		known[p.Name+"@"+p.Version] = p
	}
	store, err := os.OpenRoot(filepath.Join(nodeModules, ".pnpm"))
	if err != nil {
		return nil, err
	}
	defer store.Close()
	// <name>@<version>_<peers>/node_modules/[@scope/]<name>; what the package
	// depends on lies beside it as symbolic links, which no pattern below opens.
	var dirs []string
	for _, pattern := range []string{"*/node_modules/*/package.json", "*/node_modules/@*/*/package.json"} {
		found, err := fs.Glob(store.FS(), pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			dirs = append(dirs, path.Dir(f))
		}
	}
	seen := map[string]bool{}
	var packages []artifact.Package
	for _, dir := range dirs {
		info, err := store.Lstat(dir)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() || strings.HasPrefix(dir, "node_modules/") {
			continue
		}
		id, err := identity(store, dir)
		if err != nil {
			return nil, fmt.Errorf("reading installed package %s: %w", dir, err)
		}
		p, ok := known[id]
		if !ok {
			return nil, fmt.Errorf("package %s was installed (as %s) and is not in the lock file", id, dir)
		}
		if !seen[id] {
			seen[id] = true
			packages = append(packages, p)
		}
	}
	sortPackages(packages)
	return packages, nil
}

// identity is the name@version that a package gives itself.
func identity(root *os.Root, dir string) (string, error) {
	f, err := root.Open(dir + "/package.json")
	if err != nil {
		return "", err
	}
	defer f.Close()
	var self struct{ Name, Version string }
	if err := json.NewDecoder(io.LimitReader(f, maxPackageJSON)).Decode(&self); err != nil {
		return "", err
	}
	return self.Name + "@" + self.Version, nil
}
