package miniature

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// upload copies files of the checkout at work into a new artifact. Below the
// folder that all of its patterns share they keep their names, as with
// actions/upload-artifact, unless they are to keep all of them.
func upload(store, work string, u Upload) error {
	to := filepath.Join(store, u.Name)
	if err := os.Mkdir(to, 0o755); err != nil {
		return fmt.Errorf("uploading %s: %w", u.Name, err)
	}
	base := work
	for i, p := range u.Paths {
		if u.Whole {
			break
		}
		dir := filepath.Dir(filepath.Join(work, p))
		if strings.HasSuffix(p, "/") {
			dir = filepath.Join(work, p)
		}
		if i == 0 {
			base = dir
		}
		for base != "/" && dir != base && !strings.HasPrefix(dir, base+"/") {
			base = filepath.Dir(base)
		}
	}
	found := 0
	for _, p := range u.Paths {
		names, err := filepath.Glob(filepath.Join(work, p))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := copyTree(name, to, base, &found); err != nil {
				return fmt.Errorf("uploading %s: %w", u.Name, err)
			}
		}
	}
	if found == 0 {
		return fmt.Errorf("uploading %s: nothing matches %s", u.Name, strings.Join(u.Paths, ", "))
	}
	return nil
}

func copyTree(name, to, base string, found *int) error {
	return filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		*found++
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644) // an artifact has no modes
}

// download copies the files of every artifact whose name matches into a folder of
// the checkout, all into that one.
func download(store, work string, d Download) error {
	to := filepath.Join(work, d.To)
	entries, err := os.ReadDir(store)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		ok, err := filepath.Match(d.Name, e.Name())
		if err != nil {
			return fmt.Errorf("downloading %s: %w", d.Name, err)
		}
		if ok {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 && !strings.ContainsAny(d.Name, "*?[") {
		return fmt.Errorf("downloading %s: there is no such artifact", d.Name)
	}
	slices.Sort(names)
	found := 0
	for _, name := range names {
		if err := copyTree(filepath.Join(store, name), to, filepath.Join(store, name), &found); err != nil {
			return fmt.Errorf("downloading %s: %w", name, err)
		}
	}
	return nil
}
