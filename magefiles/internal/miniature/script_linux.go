package miniature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (r *Run) script(ctx context.Context, j Job, p *Place, i int, s Step, known values, cut Cut) error {
	script, err := known.expand(s.Run)
	if err != nil {
		return fmt.Errorf("%s: %w", j.Name, err)
	}
	env := maps.Clone(p.Env)
	for name, text := range j.Variables {
		env[name] = os.Expand(text, func(name string) string { return p.Env[name] })
	}
	for _, more := range []map[string]string{j.Env, s.Env} {
		for name, text := range more {
			if env[name], err = known.expand(text); err != nil {
				return fmt.Errorf("%s: %s: %w", j.Name, name, err)
			}
		}
	}
	file := filepath.Join(p.Dir, "tmp", "script-"+strconv.Itoa(i))
	said := filepath.Join(p.Dir, "tmp", "output-"+strconv.Itoa(i))
	if err := errors.Join(os.WriteFile(file, []byte(script), 0o644), os.WriteFile(said, nil, 0o644)); err != nil {
		return err
	}
	if _, ok := env["GITHUB_OUTPUT"]; ok {
		env["GITHUB_OUTPUT"] = said
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	var out bytes.Buffer
	process, err := p.Start(ctx, Command{Args: append(slices.Clone(s.Shell), file), Dir: p.Work, Env: list, Stdout: &out, Stderr: &out})
	if err != nil {
		return err
	}
	if cut != nil {
		if wasCut(p.Dir, cut, process) {
			r.Log("%s was switched off, having said:\n%s", p.Name, out.Bytes())
			return ErrCut
		}
	}
	err = process.Wait()
	contacts := process.Contacts()
	r.Log("%s, step %d: called %v", p.Name, i+1, contacts)
	if r.Called == nil {
		r.Called = map[string]map[string]int{}
	}
	for name, n := range contacts {
		if r.Called[j.Name] == nil {
			r.Called[j.Name] = map[string]int{}
		}
		r.Called[j.Name][name] += n
	}
	if err != nil {
		return &JobError{j.Name, out.String(), err}
	}
	if s.ID == "" {
		return nil
	}
	data, err := os.ReadFile(said)
	if err != nil {
		return err
	}
	stepped := values{}
	if err := variables(data, stepped); err != nil {
		return fmt.Errorf("%s: the outputs of step %s: %w", j.Name, s.ID, err)
	}
	for name, value := range stepped {
		known["steps."+s.ID+".outputs."+name] = value
	}
	return nil
}

// wasCut switches the machine off when it is time.
func wasCut(dir string, cut Cut, p *Process) bool {
	for !cut(dir) {
		select {
		case <-p.Ended():
			return false
		case <-time.After(200 * time.Microsecond):
		}
	}
	select {
	case <-p.Ended():
		return false
	default:
		_ = p.Off()
		return true
	}
}

// variables reads lines NAME=VALUE, of which none goes on in the next.
func variables(data []byte, into values) error {
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not NAME=VALUE", line)
		}
		into[name] = value
	}
	return nil
}

// writable makes everything below dir removable: module caches are read-only.
func writable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return err
	})
}
