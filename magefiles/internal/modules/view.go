package modules

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/mod/module"

	"palisade/recipes"
)

// A Place puts a directory of the host at a path below the root of a module
// cache. Content is the "h1:" hash of the module that it holds, if it holds one.
type Place struct{ Source, Target, Content string }

// A Sealed module version is one that no proxy has: a directory, and the sum
// that the go command is to expect of it.
type Sealed struct {
	module.Version
	Sum   string
	Dir   string
	GoMod []byte
}

// View describes a module cache that holds the given modules and nothing
// else. It writes the small files that the go command wants beside them
// (go.mod files, hashes) into dir; the modules themselves are named by their
// places. All of the lock's go.mod files that the cache has are in it: the go
// command reads some of modules that it does not link, and holds each against
// go.sum itself.
func (c *Client) View(dir string, l recipes.Lock, mods []Module, sealed []Sealed) ([]Place, error) {
	var places []Place
	put := func(rel, ext string, data []byte) error {
		name := filepath.Join(dir, filepath.FromSlash(rel)+ext)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, data, 0o644)
	}
	add := func(m module.Version, sum, from string) error {
		at, err := escaped(m)
		if err != nil {
			return err
		}
		places = append(places, Place{Source: from, Target: at.dir, Content: sum})
		return put(at.download, ".ziphash", []byte(sum))
	}
	for _, m := range mods {
		if err := add(m.Version, m.Sum, m.Dir); err != nil {
			return nil, fmt.Errorf("laying out %s: %w", m.Version, err)
		}
	}
	for _, s := range sealed {
		if err := add(s.Version, s.Sum, s.Dir); err != nil {
			return nil, fmt.Errorf("laying out %s: %w", s.Version, err)
		}
		at, err := escaped(s.Version)
		if err != nil {
			return nil, err
		}
		if err := put(at.download, ".mod", s.GoMod); err != nil {
			return nil, fmt.Errorf("laying out %s: %w", s.Version, err)
		}
	}
	for m := range l.Sums { // files of distinct names: the order leaves no trace
		version, ok := cutGoMod(m.Version)
		if !ok {
			continue
		}
		at, err := escaped(module.Version{Path: m.Path, Version: version})
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(c.Cache(), "cache", "download", filepath.FromSlash(at.download)+".mod"))
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := put(at.download, ".mod", data); err != nil {
			return nil, fmt.Errorf("laying out %s: %w", m, err)
		}
	}
	return append(places, Place{Source: dir, Target: path.Join("cache", "download")}), nil
}

func cutGoMod(version string) (string, bool) {
	const suffix = "/go.mod"
	if len(version) <= len(suffix) || version[len(version)-len(suffix):] != suffix {
		return "", false
	}
	return version[:len(version)-len(suffix)], true
}
