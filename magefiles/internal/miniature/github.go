package miniature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrFile is what every error of reading a pipeline's file wraps.
var ErrFile = errors.New("not a file whose jobs can run in miniature")

// GitHub reads the jobs of a workflow of GitHub Actions. Of actions it knows
// checkout, upload-artifact and download-artifact, and of each no more than what
// the files of this repository say to it; all that it does not know it refuses.
func GitHub(data []byte) ([]Job, error) {
	var file struct {
		Name        string            `yaml:"name"`
		RunName     string            `yaml:"run-name"`
		On          yaml.Node         `yaml:"on"`
		Permissions map[string]string `yaml:"permissions"`
		Concurrency yaml.Node         `yaml:"concurrency"`
		Env         map[string]string `yaml:"env"`
		Defaults    struct {
			Run struct {
				Shell string `yaml:"shell"`
			} `yaml:"run"`
		} `yaml:"defaults"`
		Jobs yaml.Node `yaml:"jobs"`
	}
	if err := decode(data, &file); err != nil {
		return nil, err
	}
	var all []Job
	for i := 0; i+1 < len(file.Jobs.Content); i += 2 {
		name := file.Jobs.Content[i].Value
		var job githubJob
		if err := decodeNode(file.Jobs.Content[i+1], &job); err != nil {
			return nil, fmt.Errorf("job %s: %w", name, err)
		}
		j, err := job.job(name, file.Env, file.Defaults.Run.Shell)
		if err != nil {
			return nil, fmt.Errorf("%w: job %s: %w", ErrFile, name, err)
		}
		all = append(all, j)
	}
	return all, nil
}

type githubJob struct {
	Name        string            `yaml:"name"`
	Needs       names             `yaml:"needs"`
	If          string            `yaml:"if"`
	RunsOn      string            `yaml:"runs-on"`
	Timeout     int               `yaml:"timeout-minutes"`
	Environment string            `yaml:"environment"`
	Permissions map[string]string `yaml:"permissions"`
	Concurrency yaml.Node         `yaml:"concurrency"`
	Strategy    struct {
		FailFast bool   `yaml:"fail-fast"`
		Matrix   string `yaml:"matrix"`
	} `yaml:"strategy"`
	Outputs map[string]string `yaml:"outputs"`
	Env     map[string]string `yaml:"env"`
	Steps   []githubStep      `yaml:"steps"`
}

type githubStep struct {
	Name  string            `yaml:"name"`
	ID    string            `yaml:"id"`
	If    string            `yaml:"if"`
	Uses  string            `yaml:"uses"`
	With  map[string]string `yaml:"with"`
	Env   map[string]string `yaml:"env"`
	Shell string            `yaml:"shell"`
	Run   string            `yaml:"run"`
}

func (j githubJob) job(name string, env map[string]string, shell string) (Job, error) {
	job := Job{Name: name, Needs: j.Needs, Matrix: j.Strategy.Matrix, Outputs: j.Outputs, Env: map[string]string{}, Secrets: j.Permissions["packages"] == "write"}
	if j.Permissions["id-token"] == "write" {
		job.Identity = true
	}
	if j.If != "" {
		return job, fmt.Errorf("it has the condition %s", j.If)
	}
	for _, from := range []map[string]string{env, j.Env} {
		for name, value := range from {
			job.Env[name] = value
		}
	}
	for _, s := range j.Steps {
		step, err := s.step(shell)
		if err != nil {
			return job, err
		}
		job.Steps = append(job.Steps, step)
	}
	return job, nil
}

func (s githubStep) step(shell string) (Step, error) {
	step := Step{ID: s.ID, Run: s.Run, Env: s.Env}
	if s.If != "" {
		return step, fmt.Errorf("a step has the condition %s", s.If)
	}
	if s.Uses == "" {
		if s.Shell != "" {
			shell = s.Shell
		}
		switch shell {
		case "":
			step.Shell = []string{"/bin/bash", "-e"} // GitHub's default is milder than its bash
		case "bash":
			step.Shell = []string{"/bin/bash", "--noprofile", "--norc", "-eo", "pipefail"}
		default:
			return step, fmt.Errorf("the shell %s", shell)
		}
		return step, nil
	}
	action, _, _ := strings.Cut(s.Uses, "@")
	known := map[string][]string{
		"actions/checkout":          {"persist-credentials", "fetch-depth", "fetch-tags"},
		"actions/upload-artifact":   {"name", "path", "if-no-files-found", "retention-days", "compression-level", "overwrite"},
		"actions/download-artifact": {"name", "pattern", "path", "merge-multiple"},
	}
	for name := range s.With {
		if !slices.Contains(known[action], name) {
			return step, fmt.Errorf("%s with %s", s.Uses, name)
		}
	}
	switch action {
	case "actions/checkout":
		step.Checkout = true
	case "actions/upload-artifact":
		step.Upload = &Upload{Name: s.With["name"], Paths: strings.Split(strings.TrimSpace(s.With["path"]), "\n")}
	case "actions/download-artifact":
		if (s.With["name"] == "") == (s.With["pattern"] == "") || s.With["pattern"] != "" && s.With["merge-multiple"] != "true" {
			return step, fmt.Errorf("%s needs either a name, or a pattern with merge-multiple", s.Uses)
		}
		step.Download = &Download{Name: s.With["name"] + s.With["pattern"], To: s.With["path"]}
	default:
		return step, fmt.Errorf("the action %s", s.Uses)
	}
	return step, nil
}

// names are one or a list.
type names []string

func (n *names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*n = names{node.Value}
		return nil
	}
	return node.Decode((*[]string)(n))
}

func decode(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrFile, err)
	}
	return nil
}

// decodeNode is strict, too, which a node's own method is not.
func decodeNode(node *yaml.Node, into any) error {
	data, err := yaml.Marshal(node)
	if err != nil {
		return err
	}
	return decode(data, into)
}
