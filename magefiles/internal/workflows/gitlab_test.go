package workflows

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A pipeline is the file of GitLab's, as far as ours says anything.
type pipeline struct {
	Workflow  struct{ Rules []rule } `yaml:"workflow"`
	Stages    []string               `yaml:"stages"`
	Default   defaults               `yaml:"default"`
	Variables map[string]string      `yaml:"variables"`
	Jobs      map[string]gitlabJob   `yaml:",inline"`
}

type rule struct {
	If string `yaml:"if"`
}

type defaults struct {
	Tags          []string `yaml:"tags"`
	Interruptible *bool    `yaml:"interruptible"`
}

type gitlabJob struct {
	Stage         string                       `yaml:"stage"`
	Timeout       string                       `yaml:"timeout"`
	Interruptible *bool                        `yaml:"interruptible"`
	ResourceGroup string                       `yaml:"resource_group"`
	Rules         []rule                       `yaml:"rules"`
	Parallel      int                          `yaml:"parallel"`
	Environment   string                       `yaml:"environment"`
	Variables     map[string]string            `yaml:"variables"`
	IDTokens      map[string]map[string]string `yaml:"id_tokens"`
	Needs         []string                     `yaml:"needs"`
	Script        []string                     `yaml:"script"`
	Artifacts     struct {
		Paths   []string          `yaml:"paths"`
		Reports map[string]string `yaml:"reports"`
	} `yaml:"artifacts"`
}

var timeouts = []string{"20m", "30m", "1h", "2h", "3h"}

// readPipeline reads the file, and says everything that is wrong with it alone.
func readPipeline(data []byte) (p pipeline, why []string) {
	// What is inline is not strict by itself.
	if err := strict(data, &p); err != nil {
		return p, []string{err.Error()}
	}
	var tree map[string]yaml.Node
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return p, []string{err.Error()}
	}
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if got, want := slices.Sorted(maps.Keys(p.Jobs)), slices.Sorted(slices.Values(append([]string{"ci"}, steps...))); !slices.Equal(got, want) {
		say("its jobs are %v, not %v", got, want)
	}
	if !slices.Equal(p.Stages, append([]string{"ci"}, steps...)) {
		say("its stages are %v", p.Stages)
	}
	if len(p.Default.Tags) != 1 || p.Default.Interruptible == nil || *p.Default.Interruptible {
		say("a job that says nothing else can be interrupted, or runs anywhere")
	}
	if !slices.Equal(p.Workflow.Rules, []rule{
		{`$CI_PIPELINE_SOURCE == "merge_request_event"`}, {`$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH`}, {`$CI_COMMIT_TAG =~ /^v[0-9]+\.[0-9]+\.[0-9]+$/`},
	}) {
		say("it runs on %v", p.Workflow.Rules)
	}
	want := map[string]string{"GIT_STRATEGY": "clone", "GIT_DEPTH": "1", "PALISADE_SIGNING_CONFIG": "$SIGNING_CONFIG", "PALISADE_TRUSTED_ROOT": "$TRUSTED_ROOT"}
	if !maps.Equal(p.Variables, want) {
		say("every job has the variables %v", p.Variables)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Jobs)) {
		j := p.Jobs[name]
		if j.Stage != name || !slices.Contains(timeouts, j.Timeout) {
			say("%s is in stage %s and may run for %q", name, j.Stage, j.Timeout)
		}
		rules := []rule{{"$CI_COMMIT_TAG"}}
		if name == "ci" {
			if !slices.Equal(j.Script, []string{"set -eu\nbash .ci/run\n"}) {
				say("ci runs %q", j.Script)
			}
			rules = []rule{{"$CI_COMMIT_TAG == null"}}
		}
		if !slices.Equal(j.Rules, rules) {
			say("%s runs on %v", name, j.Rules)
		}
		if slices.Contains(sharded, name) != (j.Parallel == shards) || !slices.Contains(sharded, name) && j.Parallel != 0 {
			say("%s runs on %d machines", name, j.Parallel)
		}
		identity := len(j.IDTokens) == 1 && maps.Equal(j.IDTokens["SIGSTORE_ID_TOKEN"], map[string]string{"aud": "sigstore"})
		if (name == "sign") != identity || !identity && len(j.IDTokens) > 0 {
			say("%s has the tokens %v", name, j.IDTokens)
		}
		if (name == "publish") != (j.Environment == "release") || name != "publish" && j.Environment != "" {
			say("%s is of the environment %q", name, j.Environment)
		}
		if (name == "publish") != (j.ResourceGroup == "release") || name != "publish" && j.ResourceGroup != "" {
			say("%s waits for %q", name, j.ResourceGroup)
		}
		for _, s := range j.Script {
			if !strings.HasPrefix(s, "set -eu\n") {
				say("%s goes on after a failure: %s", name, s)
			}
		}
		for key, value := range j.Variables {
			if known := map[string]string{"tag": "$CI_COMMIT_TAG", "shard": "$CI_NODE_INDEX/$CI_NODE_TOTAL"}; known[key] != value {
				say("%s has the variable %s=%s", name, key, value)
			}
		}
	}
	return p, why
}
