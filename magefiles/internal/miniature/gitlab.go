package miniature

import (
	"fmt"
	"slices"
)

type gitlabFile struct {
	Workflow struct {
		Rules []gitlabRule `yaml:"rules"`
	} `yaml:"workflow"`
	Stages  []string `yaml:"stages"`
	Default struct {
		Tags          []string `yaml:"tags"`
		Interruptible bool     `yaml:"interruptible"`
	} `yaml:"default"`
	Variables map[string]string    `yaml:"variables"`
	Jobs      map[string]gitlabJob `yaml:",inline"`
}

type gitlabRule struct {
	If string `yaml:"if"`
}

type gitlabJob struct {
	Stage         string            `yaml:"stage"`
	Timeout       string            `yaml:"timeout"`
	Interruptible bool              `yaml:"interruptible"`
	ResourceGroup string            `yaml:"resource_group"`
	Rules         []gitlabRule      `yaml:"rules"`
	Parallel      int               `yaml:"parallel"`
	Environment   string            `yaml:"environment"`
	Variables     map[string]string `yaml:"variables"`
	IDTokens      map[string]struct {
		Audience string `yaml:"aud"`
	} `yaml:"id_tokens"`
	Needs     []string `yaml:"needs"`
	Script    []string `yaml:"script"`
	Artifacts struct {
		Paths   []string `yaml:"paths"`
		Reports struct {
			Dotenv string `yaml:"dotenv"`
		} `yaml:"reports"`
	} `yaml:"artifacts"`
}

// GitLab reads the jobs of a pipeline of GitLab's CI that run for a tag. Each has
// the artifacts of all that it needs where they were made, and their variables.
func GitLab(data []byte) ([]Job, error) {
	var file gitlabFile
	if err := decode(data, &file); err != nil {
		return nil, err
	}
	var all []Job
	for _, stage := range file.Stages {
		var names []string
		for name, j := range file.Jobs {
			if j.Stage == stage {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			j := file.Jobs[name]
			runs, err := j.runs()
			if err != nil {
				return nil, fmt.Errorf("%w: job %s: %w", ErrFile, name, err)
			}
			if runs {
				all = append(all, j.job(name, file.Variables))
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no job runs for a tag", ErrFile)
	}
	return all, nil
}

func (j gitlabJob) runs() (bool, error) {
	if len(j.Rules) != 1 {
		return false, fmt.Errorf("it has %d rules", len(j.Rules))
	}
	switch j.Rules[0].If {
	case "$CI_COMMIT_TAG":
		return true, nil
	case "$CI_COMMIT_TAG == null":
		return false, nil
	}
	return false, fmt.Errorf("it has the rule %s", j.Rules[0].If)
}

func (j gitlabJob) job(name string, variables map[string]string) Job {
	job := Job{
		Name: name, Needs: j.Needs, Parallel: j.Parallel, Secrets: j.Environment != "",
		Variables: map[string]string{}, Tokens: map[string]string{}, Steps: []Step{{Checkout: true}},
	}
	for _, from := range []map[string]string{variables, j.Variables} {
		for name, value := range from {
			job.Variables[name] = value
		}
	}
	for name, token := range j.IDTokens {
		job.Tokens[name] = token.Audience
	}
	for _, need := range j.Needs {
		job.Steps = append(job.Steps, Step{Download: &Download{Name: need + "-[0-9]*"}})
	}
	for _, script := range j.Script { // each in a shell of its own, which is more than GitLab promises
		job.Steps = append(job.Steps, Step{Shell: []string{"/bin/bash", "-eo", "pipefail"}, Run: script})
	}
	if d := j.Artifacts.Reports.Dotenv; d != "" {
		job.Steps = append(job.Steps, Step{Dotenv: d})
	}
	if len(j.Artifacts.Paths) > 0 {
		job.Steps = append(job.Steps, Step{Upload: &Upload{Paths: j.Artifacts.Paths, Whole: true}})
	}
	return job
}
