package miniature

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

const gitlabText = `
stages: [ci, plan, build, publish]
variables:
  ROOT: $TRUSTED
ci:
  stage: ci
  rules: [{if: $CI_COMMIT_TAG == null}]
  script: [make]
plan:
  stage: plan
  rules: &release
    - if: $CI_COMMIT_TAG
  script: [plan >>outputs.env]
  artifacts:
    paths: [release/plan.json]
    reports: {dotenv: outputs.env}
build:
  stage: build
  rules: *release
  parallel: 2
  needs: [plan]
  variables: {shard: $CI_NODE_INDEX/$CI_NODE_TOTAL}
  id_tokens: {TOKEN: {aud: sigstore}}
  script: [build]
publish:
  stage: publish
  rules: *release
  environment: release
  needs: [build]
  script: [publish]
`

func TestGitLab(t *testing.T) {
	jobs, err := GitLab([]byte(gitlabText))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range jobs {
		names = append(names, j.Name)
	}
	if !slices.Equal(names, []string{"plan", "build", "publish"}) {
		t.Fatalf("for a tag there run %q", names)
	}
	plan, build, publish := jobs[0], jobs[1], jobs[2]
	if last := plan.Steps[len(plan.Steps)-1]; last.Upload == nil || !last.Upload.Whole || plan.Steps[2].Dotenv != "outputs.env" {
		t.Errorf("plan hands over %+v", plan.Steps)
	}
	if build.Parallel != 2 || !maps.Equal(build.Variables, map[string]string{"ROOT": "$TRUSTED", "shard": "$CI_NODE_INDEX/$CI_NODE_TOTAL"}) || build.Tokens["TOKEN"] != "sigstore" || build.Steps[1].Download.Name != "plan-[0-9]*" {
		t.Errorf("build is %+v", build)
	}
	if plan.Secrets || build.Secrets || !publish.Secrets || len(publish.Tokens) > 0 {
		t.Errorf("who may do what: %+v", jobs)
	}
}

func TestGitLabRefuses(t *testing.T) {
	for _, tt := range []struct{ old, new string }{
		{"  script: [build]", "  script: [build]\n  image: x"},
		{"    - if: $CI_COMMIT_TAG\n", "    - if: $CI_COMMIT_TAG\n    - when: always\n"},
		{"    - if: $CI_COMMIT_TAG\n", "    - if: $CI_PIPELINE_SOURCE\n"},
		{"    reports: {dotenv: outputs.env}", "    reports: {junit: x}"},
		{"stages: [ci, plan, build, publish]", "stages: [ci]"},
	} {
		text := strings.Replace(gitlabText, tt.old, tt.new, 1)
		if text == gitlabText {
			t.Fatalf("%q is not there", tt.old)
		}
		if _, err := GitLab([]byte(text)); !errors.Is(err, ErrFile) {
			t.Errorf("%s: got %v", tt.new, err)
		}
	}
}
