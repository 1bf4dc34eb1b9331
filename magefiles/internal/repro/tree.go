package repro

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The files with permitted differences.
const (
	manifestName     = "release.json"
	provenanceSuffix = ".provenance.json"
)

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m.IsRegular():
		return "a file"
	case m.Type() == fs.ModeSymlink:
		return "a symbolic link"
	}
	return "a special file"
}

// An entry is what lies at one path of a tree.
type entry struct {
	mode   fs.FileMode
	target string // of a symbolic link
}

// list gives every path below root but root itself.
func (c *comparison) list(root *os.Root) (map[string]entry, error) {
	found := map[string]entry{}
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == "." {
			return nil
		}
		if len(found) >= c.lim.files {
			return fmt.Errorf("more than %d files", c.lim.files)
		}
		if strings.Count(path, "/") > 16*c.lim.depth {
			return fmt.Errorf("%s: directories are nested too deep", path)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode()}
		switch {
		case e.mode.Type() == fs.ModeSymlink:
			if e.target, err = root.Readlink(filepath.FromSlash(path)); err != nil {
				return err
			}
		case !e.mode.IsDir() && !e.mode.IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", path)
		}
		found[path] = e
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", root.Name(), err)
	}
	return found, nil
}

func (c *comparison) trees(a, b string) error {
	ra, err := os.OpenRoot(a)
	if err != nil {
		return err
	}
	defer ra.Close()
	rb, err := os.OpenRoot(b)
	if err != nil {
		return err
	}
	defer rb.Close()
	la, err := c.list(ra)
	if err != nil {
		return err
	}
	lb, err := c.list(rb)
	if err != nil {
		return err
	}
	var names []string
	for name := range la {
		names = append(names, name)
	}
	for name := range lb {
		if _, both := la[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		ea, inA := la[name]
		eb, inB := lb[name]
		p := place{file: name}
		switch {
		case !inB:
			c.add(p.at("", -1, "%s only in the first build", kindOf(ea.mode)))
		case !inA:
			c.add(p.at("", -1, "%s only in the second build", kindOf(eb.mode)))
		}
	}
	for _, name := range names {
		ea, inA := la[name]
		eb, inB := lb[name]
		if !inA || !inB {
			continue
		}
		if err := c.entries(ra, rb, name, ea, eb); err != nil {
			return fmt.Errorf("comparing %s: %w", name, err)
		}
	}
	return nil
}

func (c *comparison) entries(ra, rb *os.Root, name string, ea, eb entry) error {
	p := place{file: name}
	if ea.mode.Type() != eb.mode.Type() {
		c.add(p.at("", -1, "%s in the first build, %s in the second", kindOf(ea.mode), kindOf(eb.mode)))
		return nil
	}
	if ea.target != eb.target {
		c.add(p.at("", -1, "link target: %q in the first build, %q in the second", ea.target, eb.target))
	}
	if !ea.mode.IsRegular() {
		return nil
	}
	if runs(ea.mode) != runs(eb.mode) {
		c.add(p.at("", -1, "file mode: %04o in the first build, %04o in the second", ea.mode.Perm(), eb.mode.Perm()))
	}
	fa, err := ra.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer fa.Close()
	fb, err := rb.Open(filepath.FromSlash(name))
	if err != nil {
		return err
	}
	defer fb.Close()
	return c.openFiles(p, fa, fb, name)
}

func runs(m fs.FileMode) bool { return m&0o111 != 0 }

func (c *comparison) namedFiles(a, b string) error {
	fa, err := os.Open(a)
	if err != nil {
		return err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return err
	}
	defer fb.Close()
	name := filepath.Base(a)
	if filepath.Base(b) != name {
		name = "" // two kinds of file, perhaps
	}
	return c.openFiles(place{file: filepath.Base(a)}, fa, fb, name)
}

// openFiles compares two files that are both called name.
func (c *comparison) openFiles(p place, fa, fb *os.File, name string) error {
	c.work.Store(c.lim.work)
	a, err := fileContent(fa)
	if err != nil {
		return err
	}
	b, err := fileContent(fb)
	if err != nil {
		return err
	}
	switch {
	case name == manifestName:
		return c.manifests(p, a, b)
	case strings.HasSuffix(name, provenanceSuffix):
		return c.provenances(p, a, b)
	}
	return c.contents(p, a, b)
}
