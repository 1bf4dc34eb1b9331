package workflows

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An expected is what one file of .github/workflows says: what is not here it does
// not. The names of jobs are those of no other file's.
type expected struct {
	on      map[string]any    // as YAML has it: what starts it, and of which branches or tags
	cancel  bool              // a run is cancelled by the next one
	secrets int               // how often it names secrets
	env     map[string]string // of every job
	jobs    map[string]expectedJob
}

type expectedJob struct {
	permissions map[string]string
	env         map[string]string // of its one command, in which names stand for what others say
	prepares    []string          // the machine, before that: each once, in this order, letter for letter
}

// needed are variables that bear the name of the output that they hold.
func needed(also map[string]string, outputs ...string) map[string]string {
	env := maps.Clone(also)
	if env == nil {
		env = map[string]string{}
	}
	for _, o := range outputs {
		from, _, _ := strings.Cut(o, "_")
		env[o] = fmt.Sprintf("${{ needs.%s.outputs.%s }}", from, o)
	}
	return env
}

var (
	reads = map[string]string{"contents": "read"}
	tag   = map[string]string{"tag": "${{ github.ref_name }}"}
	shard = map[string]string{"shard": "${{ matrix.shard }}"}
)

// workflows are all files, by name without .yml. A new one is a row.
var workflows = map[string]expected{
	"ci": {
		on:     map[string]any{"push": map[string]any{"branches": []any{"main"}}, "pull_request": nil},
		cancel: true,
		jobs:   map[string]expectedJob{"ci": {permissions: reads, prepares: []string{unconfined, everything}}},
	},
	// No workflow_call: a certificate names the file of who signed, and a caller would
	// sign with it what his own checkout says.
	"release": {
		on:      map[string]any{"push": map[string]any{"tags": []any{"v[0-9]+.[0-9]+.[0-9]+"}}},
		secrets: 1,
		env: map[string]string{
			"REGISTRY": "${{ vars.REGISTRY }}", "FIRST": "${{ vars.FIRST }}",
			"PALISADE_SIGNING_CONFIG": "${{ vars.SIGNING_CONFIG }}", "PALISADE_TRUSTED_ROOT": "${{ vars.TRUSTED_ROOT }}",
		},
		jobs: map[string]expectedJob{
			"plan":     {permissions: reads, env: tag},
			"build":    {permissions: reads, env: needed(shard, "plan"), prepares: []string{namespaces}},
			"audit":    {permissions: reads, env: needed(shard, "plan", "build_1", "build_2")},
			"assemble": {permissions: reads, env: needed(nil, "plan", "build_1", "build_2", "audit_1", "audit_2")},
			"sign":     {permissions: map[string]string{"contents": "read", "id-token": "write"}, env: needed(nil, "plan", "assemble")},
			"publish": {
				permissions: map[string]string{"contents": "read", "packages": "write"},
				env:         needed(map[string]string{"REGISTRY_USER": "${{ github.actor }}", "REGISTRY_PASSWORD": "${{ secrets.GITHUB_TOKEN }}"}, "plan", "sign"),
			},
			"verify": {permissions: reads, env: tag},
		},
	},
}

// namespaces is the one step that GitHub's machines need and others do not, and
// unconfined that of ci, which goes on as root.
const (
	namespaces = `set -eu
if [ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]; then
  sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0
fi
`
	unconfined = `set -eu
sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0
`
	everything = `set -eu
sudo env "PATH=$PATH" CI=true bash .ci/run
`
)

// prepared reports whether a command of a job prepares its machine.
func (e expectedJob) prepared(run string) bool { return slices.Contains(e.prepares, run) }

// brokenMachine says whether a job prepares its machine in another way, or gives its
// commands other variables.
func (e expectedJob) brokenMachine(name string, j job) (why []string) {
	say := func(format string, args ...any) { why = append(why, name+" "+fmt.Sprintf(format, args...)) }
	var prepares []string
	env := map[string]string{}
	for _, s := range j.Steps {
		if s.Run != "" && e.prepared(s.Run) {
			if prepares = append(prepares, s.Run); len(s.Env) > 0 {
				say("prepares its machine with the variables %v", s.Env)
			}
			continue
		}
		if maps.Copy(env, s.Env); strings.Contains(s.Run, "sudo") {
			say("runs as root: %s", s.Run)
		}
	}
	if !slices.Equal(prepares, e.prepares) {
		say("prepares its machine by %q, not %q", prepares, e.prepares)
	}
	if !maps.Equal(env, e.env) {
		say("has the variables %v, not %v", env, e.env)
	}
	return why
}
