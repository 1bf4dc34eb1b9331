package workflows

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A workflow is a file of GitHub's, as far as ours say anything.
type workflow struct {
	Name        string            `yaml:"name"`
	On          map[string]any    `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Concurrency concurrency       `yaml:"concurrency"`
	Env         map[string]string `yaml:"env"`
	Jobs        map[string]job    `yaml:"jobs"`

	expected expected
}

type concurrency struct {
	Group  string `yaml:"group"`
	Cancel *bool  `yaml:"cancel-in-progress"`
}

type job struct {
	Needs       list              `yaml:"needs"`
	RunsOn      string            `yaml:"runs-on"`
	Timeout     int               `yaml:"timeout-minutes"`
	Permissions map[string]string `yaml:"permissions"`
	Strategy    struct {
		Matrix string `yaml:"matrix"`
	} `yaml:"strategy"`
	Outputs map[string]string `yaml:"outputs"`
	Steps   []step            `yaml:"steps"`
}

type step struct {
	ID   string            `yaml:"id"`
	Uses action            `yaml:"uses"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
	Run  string            `yaml:"run"`
}

// A list is one value or several.
type list []string

func (l *list) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = list{n.Value}
		return nil
	}
	return n.Decode((*[]string)(l))
}

// An action is one that is used, with the comment behind it.
type action struct{ use, comment string }

func (a *action) UnmarshalYAML(n *yaml.Node) error {
	*a = action{n.Value, n.LineComment}
	return n.Decode(new(string))
}

// strict decodes one document, of which no key is unknown.
func strict(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.Decode(new(yaml.Node)) == nil {
		return fmt.Errorf("a second document")
	}
	return nil
}

// actions are all that are used, at the commit of a version. Whoever adds one has
// read it at that commit.
var actions = map[string]struct{ commit, version string }{
	"actions/checkout":          {"3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"},
	"actions/upload-artifact":   {"bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"},
	"actions/download-artifact": {"3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"},
}

var pinned = regexp.MustCompile(`^([a-z0-9-]+/[a-z0-9-]+)@([0-9a-f]{40})$`)

// broken says why an action is not one of those.
func (a action) broken() string {
	m := pinned.FindStringSubmatch(a.use)
	if m == nil {
		return fmt.Sprintf("%s is not pinned by its commit", a.use)
	}
	known, ok := actions[m[1]]
	if !ok || known.commit != m[2] || a.comment != "# "+known.version {
		return fmt.Sprintf("%s %s is not on the list", a.use, a.comment)
	}
	return ""
}

// expressions are all that may be between ${{ and }}, in any job and in some.
var expressions = map[string][]string{
	"":      {"vars.REGISTRY", "vars.FIRST", "vars.SIGNING_CONFIG", "vars.TRUSTED_ROOT", "github.ref", "github.ref_name"},
	"build": {"matrix.runner", "matrix.shard", "matrix.name", "fromJSON(needs.plan.outputs.matrix)"},
	"audit": {"matrix.runner", "matrix.shard", "matrix.name", "fromJSON(needs.plan.outputs.matrix)"},
	// A person's name on GitHub, and a token that ends with the job.
	"publish": {"github.actor", "secrets.GITHUB_TOKEN"},
}

var (
	expression = regexp.MustCompile(`\$\{\{(.*?)\}\}`)
	output     = regexp.MustCompile(`^(needs|steps)\.([a-z]+)\.outputs\.([a-z0-9_]+)$`)
)

// unknown lists the expressions in text that a job may not use. Outputs are those
// that the job itself has from a step, or from a job that it needs and that has
// them.
func (w workflow) unknown(name, text string) (why []string) {
	for _, m := range expression.FindAllStringSubmatch(text, -1) {
		e := strings.TrimSpace(m[1])
		if slices.Contains(expressions[""], e) || slices.Contains(expressions[name], e) && name != "" {
			continue
		}
		o := output.FindStringSubmatch(e)
		j := w.Jobs[name]
		switch {
		case o == nil:
			why = append(why, fmt.Sprintf("%s uses ${{ %s }}", name, e))
		case o[1] == "steps" && !slices.ContainsFunc(j.Steps, func(s step) bool { return s.ID == o[2] }):
			why = append(why, fmt.Sprintf("%s uses ${{ %s }}, and has no such step", name, e))
		case o[1] == "needs" && (!slices.Contains(j.Needs, o[2]) || w.Jobs[o[2]].Outputs[o[3]] == ""):
			why = append(why, fmt.Sprintf("%s uses ${{ %s }}, which no job has that it needs", name, e))
		}
	}
	if strings.Count(text, "${{") != len(expression.FindAllString(text, -1)) {
		why = append(why, fmt.Sprintf("%s has an expression without an end: %s", name, text))
	}
	return why
}

// readWorkflow reads the file of that name, and says everything that is wrong with
// it alone.
func readWorkflow(file, text string, want expected) (w workflow, why []string) {
	if err := strict([]byte(text), &w); err != nil {
		return w, []string{file + ": " + err.Error()}
	}
	w.expected = want
	if !reflect.DeepEqual(w.On, want.on) {
		why = append(why, fmt.Sprintf("%s runs on %v, not %v", file, w.On, want.on))
	}
	if !maps.Equal(w.Env, want.env) {
		why = append(why, fmt.Sprintf("%s gives every job %v, not %v", file, w.Env, want.env))
	}
	if n := strings.Count(text, "secrets"); n != want.secrets {
		why = append(why, fmt.Sprintf("%s names %d secrets", file, n))
	}
	if w.Permissions == nil || len(w.Permissions) > 0 {
		why = append(why, "what has no permissions of its own does not have none")
	}
	if w.Concurrency.Group == "" || w.Concurrency.Cancel == nil {
		why = append(why, "it does not say how often it runs at once")
	} else if *w.Concurrency.Cancel != want.cancel {
		why = append(why, fmt.Sprintf("%s is cancelled by another: %v", file, *w.Concurrency.Cancel))
	}
	for name, value := range w.Env {
		why = append(why, w.unknown("", name+value)...)
	}
	why = append(why, w.unknown("", w.Concurrency.Group)...)
	if got, wanted := slices.Sorted(maps.Keys(w.Jobs)), slices.Sorted(maps.Keys(want.jobs)); !slices.Equal(got, wanted) {
		why = append(why, fmt.Sprintf("its jobs are %v, not %v", got, wanted))
	}
	for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
		j := w.Jobs[name]
		if permissions := want.jobs[name].permissions; !maps.Equal(j.Permissions, permissions) {
			why = append(why, fmt.Sprintf("%s has the permissions %v, not %v", name, j.Permissions, permissions))
		}
		why = append(why, w.brokenJob(name, j)...)
		why = append(why, want.jobs[name].brokenMachine(name, j)...)
	}
	return w, why
}

func (w workflow) brokenJob(name string, j job) (why []string) {
	say := func(format string, args ...any) { why = append(why, name+" "+fmt.Sprintf(format, args...)) }
	if j.Timeout < 1 || j.Timeout > 180 {
		say("may run for %d minutes", j.Timeout)
	}
	runner, matrix := "ubuntu-24.04", ""
	if slices.Contains(sharded, name) {
		runner, matrix = "${{ matrix.runner }}", "${{ fromJSON(needs.plan.outputs.matrix) }}"
	}
	if j.RunsOn != runner || j.Strategy.Matrix != matrix {
		say("runs on %s of %q", j.RunsOn, j.Strategy.Matrix)
	}
	text := []string{j.RunsOn, j.Strategy.Matrix}
	for key, value := range j.Outputs {
		text = append(text, value)
		if !strings.HasSuffix(value, "."+key+" }}") {
			say("calls %s %s", value, key)
		}
	}
	for i, s := range j.Steps {
		text = append(text, slices.Collect(maps.Values(s.Env))...)
		text = append(text, slices.Collect(maps.Values(s.With))...)
		switch {
		case (s.Run == "") == (s.Uses.use == ""):
			say("has a step %d that does not either run or use something", i)
		case s.Run != "":
			if strings.Contains(s.Run, "${{") {
				say("has an expression in a command: %s", s.Run)
			}
			if !strings.HasPrefix(s.Run, "set -eu\n") || len(s.With) > 0 {
				say("has a command that goes on after a failure: %s", s.Run)
			}
		default:
			if problem := s.Uses.broken(); problem != "" {
				say("uses %s", problem)
			}
			if len(s.Env) > 0 {
				say("has variables for %s", s.Uses.use)
			}
		}
		checkout := strings.HasPrefix(s.Uses.use, "actions/checkout@")
		if checkout != (i == 0) || checkout && !maps.Equal(s.With, map[string]string{"persist-credentials": "false"}) {
			say("does not begin, once, with the checkout, of which it keeps no credentials: step %d", i)
		}
	}
	slices.Sort(text)
	for _, t := range text {
		why = append(why, w.unknown(name, t)...)
	}
	return why
}
