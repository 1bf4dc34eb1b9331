package miniature

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Run is one of a pipeline: what of it is done, and what was handed over. Its
// machines lie in Dir, and so does the store of artifacts, which anybody may change
// between two jobs.
type Run struct {
	Dir  string
	Jobs []Job
	// Given is all that the platform and its owner give a machine, beside what the
	// file says: of the environment, and which services it can reach.
	Given func(j Job, m *Place) error
	// Checkout puts the files of the commit into a folder that is not there yet.
	Checkout func(ctx context.Context, to string) error
	Values   map[string]string // github.X, vars.X: what expressions may name
	Secrets  map[string]string // secrets.X
	Attempt  int               // how often a job had to be begun again
	Log      func(format string, args ...any)
	Called   map[string]map[string]int // whom each job called, and how often

	done    map[string]bool
	outputs values // needs.X.outputs.Y
}

// A Place is a machine on which a job runs, and its folders.
type Place struct {
	Machine
	Name       string
	Work, Home string
	Env        map[string]string
	Handed     map[string]string // the outputs of all that the job needs
	Number, Of int               // of a job's machines
}

// Store is where artifacts lie, each in a folder of its name.
func (r *Run) Store() string { return filepath.Join(r.Dir, "artifacts") }

// A Cut is asked all the time whether the power fails now of the machine whose
// folder it is told.
type Cut func(dir string) bool

// At is when a file matches a pattern below the folder.
func At(pattern string) Cut {
	return func(dir string) bool {
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		return len(names) > 0
	}
}

// ErrCut is that it did.
var ErrCut = errors.New("the machine was switched off")

// ErrUncut is that the job ended before it could.
var ErrUncut = errors.New("the job ended before its machine was switched off")

// A JobError is that a command of a job ended with another status than 0.
type JobError struct {
	Job, Output string
	Err         error
}

func (e *JobError) Error() string { return fmt.Sprintf("%s: %v\n%s", e.Job, e.Err, e.Output) }
func (e *JobError) Unwrap() error { return e.Err }

// Rest runs the jobs that are not done, in the order of the file, which must have
// each after those that it needs. The first that fails ends it.
func (r *Run) Rest(ctx context.Context) error {
	return r.until(ctx, func(string) bool { return false })
}

// Before does so up to the named job, which is not run.
func (r *Run) Before(ctx context.Context, job string) error {
	return r.until(ctx, func(next string) bool { return next == job })
}

func (r *Run) until(ctx context.Context, stop func(next string) bool) error {
	for _, j := range r.Jobs {
		if stop(j.Name) {
			return nil
		}
		if r.done[j.Name] {
			continue
		}
		if err := r.Do(ctx, j.Name, nil); err != nil {
			return err
		}
	}
	return nil
}

// Again forgets that a job was done.
func (r *Run) Again(job string) { delete(r.done, job) }

// Output is what a job said under a name.
func (r *Run) Output(job, name string) string { return r.outputs["needs."+job+".outputs."+name] }

// SetOutput has it have said something else.
func (r *Run) SetOutput(job, name, value string) { r.outputs["needs."+job+".outputs."+name] = value }

// Do runs one job, on the machines that it had before if there are any: what lies
// there then is what a former attempt left; Fresh takes them away. With cut, the
// job's first machine is switched off as soon as that says so, and Do returns ErrCut.
func (r *Run) Do(ctx context.Context, name string, cut Cut) error {
	i := slices.IndexFunc(r.Jobs, func(j Job) bool { return j.Name == name })
	if i < 0 {
		return fmt.Errorf("there is no job %s", name)
	}
	j := r.Jobs[i]
	if r.done == nil {
		r.done, r.outputs = map[string]bool{}, values{}
	}
	known := values{}
	for name, value := range r.Values {
		known[name] = value
	}
	if j.Secrets {
		for name, value := range r.Secrets {
			known["secrets."+name] = value
		}
	}
	for _, need := range j.Needs {
		if !r.done[need] {
			return fmt.Errorf("%s needs %s, which is not done", j.Name, need)
		}
		for name, value := range r.outputs {
			if strings.HasPrefix(name, "needs."+need+".") {
				known[name] = value
			}
		}
	}
	rows := make([]map[string]string, max(1, j.Parallel))
	if j.Matrix != "" {
		var err error
		if rows, err = known.matrix(j.Matrix); err != nil {
			return fmt.Errorf("%s: %w", j.Name, err)
		}
	}
	if err := os.MkdirAll(r.Store(), 0o755); err != nil {
		return err
	}
	all := values{}
	for i, row := range rows {
		outputs, err := r.one(ctx, j, row, i+1, len(rows), maps.Clone(known), cut)
		if err != nil {
			r.Attempt++
			return err
		}
		cut = nil
		for name, value := range outputs {
			if value != "" { // of machines that write the same, the last that says anything
				all[name] = value
			}
		}
	}
	for name := range r.outputs {
		if strings.HasPrefix(name, "needs."+j.Name+".") {
			delete(r.outputs, name)
		}
	}
	for name := range j.Outputs {
		r.outputs["needs."+j.Name+".outputs."+name] = all[name]
	}
	for name, value := range all {
		r.outputs["needs."+j.Name+".outputs."+name] = value
	}
	r.done[j.Name] = true
	return nil
}

// Place is where the n-th machine of a job is.
func (r *Run) Place(job string, n int) string {
	return filepath.Join(r.Dir, "machines", fmt.Sprintf("%s-%d", job, n))
}

// Fresh takes the machines of a job away.
func (r *Run) Fresh(job string) error {
	places, err := filepath.Glob(filepath.Join(r.Dir, "machines", job+"-[0-9]*"))
	for _, p := range places {
		err = errors.Join(err, writable(p), os.RemoveAll(p))
	}
	return err
}

// one runs a job on one machine, and returns its outputs.
func (r *Run) one(ctx context.Context, j Job, row map[string]string, n, of int, known values, cut Cut) (values, error) {
	for name, value := range row {
		known["matrix."+name] = value
	}
	p := Place{Name: fmt.Sprintf("%s-%d", j.Name, n), Number: n, Of: of, Env: map[string]string{}, Handed: map[string]string{}}
	for _, need := range j.Needs {
		for name, value := range known {
			if name, ok := strings.CutPrefix(name, "needs."+need+".outputs."); ok {
				p.Handed[name] = value
			}
		}
	}
	p.Dir = r.Place(j.Name, n)
	p.Work, p.Home = filepath.Join(p.Dir, "work"), filepath.Join(p.Dir, "home")
	for _, dir := range []string{p.Home, filepath.Join(p.Dir, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := r.Given(j, &p); err != nil {
		return nil, fmt.Errorf("giving %s what it has: %w", p.Name, err)
	}
	outputs := values{}
	for i, s := range j.Steps {
		if err := r.step(ctx, j, &p, i, s, known, outputs, cut); err != nil {
			return nil, err
		}
	}
	if cut != nil {
		return nil, ErrUncut
	}
	for name, text := range j.Outputs {
		value, err := known.expand(text)
		if err != nil && (!strings.Contains(text, "steps.") || of == 1) { // of a step that this machine's row has not
			return nil, fmt.Errorf("%s: output %s: %w", j.Name, name, err)
		}
		outputs[name] = value
	}
	return outputs, nil
}

func (r *Run) step(ctx context.Context, j Job, p *Place, i int, s Step, known, outputs values, cut Cut) error {
	switch {
	case s.Checkout:
		if _, err := os.Stat(p.Work); err == nil {
			return nil // of a former attempt
		}
		return r.Checkout(ctx, p.Work)
	case s.Upload != nil:
		u, err := s.Upload.expand(known)
		if err != nil {
			return fmt.Errorf("%s: %w", j.Name, err)
		}
		if u.Name == "" {
			u.Name = p.Name
		}
		if err := os.RemoveAll(filepath.Join(r.Store(), u.Name)); err != nil {
			return err
		}
		return upload(r.Store(), p.Work, u)
	case s.Download != nil:
		name, err := known.expand(s.Download.Name)
		if err == nil {
			err = download(r.Store(), p.Work, Download{Name: name, To: s.Download.To})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", j.Name, err)
		}
		return nil
	case s.Dotenv != "":
		data, err := os.ReadFile(filepath.Join(p.Work, s.Dotenv))
		if err != nil {
			return fmt.Errorf("%s: the variables that it hands over: %w", j.Name, err)
		}
		return variables(data, outputs)
	}
	return r.script(ctx, j, p, i, s, known, cut)
}

func (u Upload) expand(known values) (Upload, error) {
	name, err := known.expand(u.Name)
	if err != nil {
		return Upload{}, err
	}
	out := Upload{Name: name, Whole: u.Whole}
	for _, p := range u.Paths {
		if p, err = known.expand(p); err != nil {
			return Upload{}, err
		}
		out.Paths = append(out.Paths, p)
	}
	return out, nil
}
