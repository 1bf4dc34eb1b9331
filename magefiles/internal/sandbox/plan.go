package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// privateTmp is where the command may always write. A Mount may take its
// place.
const privateTmp = "/tmp"

// reserved are the directories that no mount and no file may touch.
var reserved = []string{"/dev", "/proc"}

// A point is a Mount that was looked at.
type point struct {
	Mount
	Directory bool
	Within    string // target of the innermost mount that this one lies in, "" for none
}

// A plan is a Spec that was checked: mounts are in an order in which they can
// be made, outer before inner.
type plan struct {
	Spec
	points []point
}

func newPlan(spec Spec) (plan, error) {
	p := plan{Spec: spec}
	if len(spec.Args) == 0 {
		return plan{}, errors.New("planning sandbox: no command given")
	}
	for _, m := range spec.Mounts {
		pt, err := look(m)
		if err != nil {
			return plan{}, fmt.Errorf("mounting %s at %s: %w", m.Source, m.Target, err)
		}
		p.points = append(p.points, pt)
	}
	slices.SortFunc(p.points, func(a, b point) int { return comparePaths(a.Target, b.Target) })
	for i := range p.points {
		pt := &p.points[i]
		if i > 0 && p.points[i-1].Target == pt.Target {
			return plan{}, fmt.Errorf("mounting %s at %s: %s is mounted there too", pt.Source, pt.Target, p.points[i-1].Source)
		}
		pt.Within = p.mountOf(path.Dir(pt.Target), i)
		if pt.Within == "" {
			continue
		}
		// Checked here for every host alike, so that a spec does not work on
		// one and fail on another; what is mounted is checked again inside.
		if err := p.exists(*pt); err != nil {
			return plan{}, fmt.Errorf("mounting %s at %s: %w", pt.Source, pt.Target, err)
		}
	}
	for name := range spec.Files {
		err := checkTarget(name)
		if err == nil && below(name, privateTmp) {
			err = errors.New("the command could change it there")
		}
		if m := p.mountOf(name, len(p.points)); err == nil && m != "" {
			err = fmt.Errorf("it lies in the mount at %s", m)
		}
		if err != nil {
			return plan{}, fmt.Errorf("making file %s: %w", name, err)
		}
	}
	if spec.Serve != "" {
		if info, err := os.Stat(spec.Serve); err != nil {
			return plan{}, fmt.Errorf("serving: %w", err)
		} else if !filepath.IsAbs(spec.Serve) || !info.IsDir() {
			return plan{}, fmt.Errorf("serving %s: not the absolute path of a directory", spec.Serve)
		}
	}
	return p, nil
}

func look(m Mount) (point, error) {
	if err := checkTarget(m.Target); err != nil {
		return point{}, err
	}
	if !filepath.IsAbs(m.Source) {
		return point{}, errors.New("the source is not an absolute path")
	}
	info, err := os.Stat(m.Source)
	if err != nil {
		return point{}, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return point{}, errors.New("the source is neither a directory nor a regular file")
	}
	return point{Mount: m, Directory: info.IsDir()}, nil
}

func checkTarget(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" || strings.ContainsRune(name, 0) {
		return errors.New("the target is not a clean absolute path below the root")
	}
	for _, r := range reserved {
		if below(name, r) {
			return fmt.Errorf("the target is in %s, which the sandbox keeps to itself", r)
		}
	}
	return nil
}

// mountOf is the target of the innermost of the first n points that name lies
// in, "" if none.
func (p plan) mountOf(name string, n int) string {
	for i := n - 1; i >= 0; i-- {
		if below(name, p.points[i].Target) {
			return p.points[i].Target
		}
	}
	return ""
}

// exists reports whether the target of pt is there in the mount it lies in,
// as the same kind of file and by no symbolic link.
func (p plan) exists(pt point) error {
	i := slices.IndexFunc(p.points, func(o point) bool { return o.Target == pt.Within })
	name := p.points[i].Source
	missing := func(why string) error {
		return fmt.Errorf("%s in the mount at %s (making it would write to the host; mount over what exists)", why, pt.Within)
	}
	parts := strings.Split(strings.TrimPrefix(pt.Target, pt.Within+"/"), "/")
	for n, part := range parts {
		name = filepath.Join(name, part)
		info, err := os.Lstat(name)
		last := n == len(parts)-1
		switch {
		case err != nil:
			return missing("the target does not exist")
		case info.Mode()&os.ModeSymlink != 0:
			return missing("the target leads through a symbolic link")
		case (!last || pt.Directory) && !info.IsDir():
			return missing("the target is not a directory")
		case last && !pt.Directory && !info.Mode().IsRegular():
			return missing("the target is not a regular file")
		}
	}
	return nil
}

// below reports whether name is dir or lies in it.
func below(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

// comparePaths orders a directory before what it holds, and that before the
// directory's next sibling.
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// expand puts root and serve in place of their marks.
func (p plan) expand(root, serve string) plan {
	r := strings.NewReplacer("{root}", root, "{serve}", serve)
	each := func(in []string) []string {
		out := make([]string, len(in))
		for i, s := range in {
			out[i] = r.Replace(s)
		}
		return out
	}
	p.Args, p.Env, p.Dir = each(p.Args), each(p.Env), r.Replace(p.Dir)
	if p.Dir == "" {
		p.Dir = root + "/"
	}
	files := make(map[string]string, len(p.Files))
	for name, content := range p.Files {
		files[name] = r.Replace(content)
	}
	p.Files = files
	return p
}
