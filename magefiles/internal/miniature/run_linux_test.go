package miniature

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// github is a run of testdata/release.yml.
func github(t *testing.T) *Run {
	t.Helper()
	if out, err := exec.Command("unshare", "-Urm", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine refuses namespaces: %v: %s", err, out)
	}
	data, err := os.ReadFile("testdata/release.yml")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := GitHub(data)
	if err != nil {
		t.Fatal(err)
	}
	return &Run{
		Dir: t.TempDir(), Jobs: jobs, Log: t.Logf,
		Values:   map[string]string{"github.ref_name": "v1.0.0", "vars.REGISTRY": "registry.example.test"},
		Checkout: func(_ context.Context, to string) error { return os.Mkdir(to, 0o755) },
		Given: func(j Job, p *Place) error {
			p.Env["PATH"], p.Env["HOME"], p.Env["GITHUB_OUTPUT"] = "/usr/bin:/bin", p.Home, ""
			if j.Identity {
				p.Env["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://127.0.0.1:1/token"
			}
			return nil
		},
	}
}

func TestRun(t *testing.T) {
	r := github(t)
	if err := r.Rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(r.Place("sign", 1), "work", "all"))
	want := "plan\n1/2 v1.0.0\nplan\n2/2 v1.0.0\nplan 1/2 v1.0.0 ,plan 2/2 v1.0.0 \nregistry.example.test http://127.0.0.1:1/token\n"
	if err != nil || string(data) != want {
		t.Errorf("got %q, %v, want %q", data, err, want)
	}
}

// What is changed in the store is what the next job gets; what a machine has stays
// when it is switched off, until it is made afresh.
func TestRunGoesOn(t *testing.T) {
	r := github(t)
	if err := r.Before(t.Context(), "build"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Store(), "plan", "plan.json"), []byte("another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Do(t.Context(), "sign", nil); err == nil || !strings.Contains(err.Error(), "needs build, which is not done") {
		t.Errorf("out of order: %v", err)
	}
	r.Jobs[1].Steps[2].Run += "\ntouch made; sleep 600\n"
	if err := r.Do(t.Context(), "build", At("work/made")); !errors.Is(err, ErrCut) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.Place("build", 1), "work", "made")); err != nil {
		t.Error("what it made is not there:", err)
	}
	r.Jobs[1].Steps[2].Run = "cat release/plan.json; exit 1"
	if err := r.Do(t.Context(), "build", nil); err == nil || !strings.Contains(err.Error(), "another\n") {
		t.Errorf("it did not get what is in the store: %v", err)
	}
	if err := r.Fresh("build"); err != nil {
		t.Fatal(err)
	}
	r.Jobs[1].Steps[2].Run = "touch release/out; mkdir release/out"
	if err := r.Do(t.Context(), "build", func(string) bool { return false }); err == nil || errors.Is(err, ErrCut) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.Place("build", 1), "work", "made")); err == nil {
		t.Error("what it made is there still")
	}
}

// A job has no more than its part: neither the outputs of those it does not need,
// nor secrets; and its failure is told with what it said.
func TestRunRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *Run)
		want   string
	}{
		{"a command that fails", func(r *Run) { r.Jobs[0].Steps[1].Run = "echo why >&2; false; true" }, "plan: exit status 1\nwhy"},
		{"a secret", func(r *Run) {
			r.Secrets = map[string]string{"TOKEN": "x"}
			r.Jobs[0].Steps[1].Env["T"] = "${{ secrets.TOKEN }}"
		}, "${{ secrets.TOKEN }} is not known"},
		{"an output of another", func(r *Run) { r.Jobs[1].Needs = nil }, "is not known"},
		{"an artifact that is not there", func(r *Run) { r.Jobs[1].Steps[1].Download.Name = "plans" }, "there is no such artifact"},
		{"nothing to upload", func(r *Run) { r.Jobs[0].Steps[2].Upload.Paths = []string{"release/plans.json"} }, "nothing matches"},
		{"an output without a value", func(r *Run) { r.Jobs[0].Outputs["more"] = "${{ steps.plan.outputs.more }}" }, "output more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := github(t)
			tt.change(r)
			if err := r.Before(t.Context(), "sign"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestGitHubRefuses(t *testing.T) {
	data, err := os.ReadFile("testdata/release.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new string }{
		{"permissions: {}", "permissions: {}\nunknown: x"},
		{"    runs-on: ubuntu-24.04", "    runs-on: ubuntu-24.04\n    container: x"},
		{"    runs-on: ubuntu-24.04", "    runs-on: ubuntu-24.04\n    if: always()"},
		{"      - id: plan", "      - id: plan\n        if: always()"},
		{"      - id: plan", "      - id: plan\n        shell: pwsh"},
		{"actions/checkout@", "actions/cache@"},
		{"persist-credentials", "token"},
		{"          merge-multiple: true\n", ""},
	} {
		text := strings.Replace(string(data), tt.old, tt.new, 1)
		if text == string(data) {
			t.Fatalf("%q is not there", tt.old)
		}
		if _, err := GitHub([]byte(text)); !errors.Is(err, ErrFile) {
			t.Errorf("%s: got %v", tt.new, err)
		}
	}
}
