package checkout

import (
	"strings"
	"testing"
)

func TestTagged(t *testing.T) {
	root, git := committed(t)
	commit := observe(t, root, git).Commit
	run(t, root, git, "tag", "v1.0.0")
	run(t, root, git, "-c", "user.name=A", "-c", "user.email=a@example.test", "tag", "-a", "-m", "one", "v1.0.1")
	run(t, root, git, "branch", "v2.0.0")
	for _, tag := range []string{"v1.0.0", "v1.0.1"} {
		if got, err := Tagged(t.Context(), root, git, tag); got != commit || err != nil {
			t.Errorf("%s: %q, %v, want %s", tag, got, err, commit)
		}
	}
	for _, tag := range []string{"v2.0.0", "v1.0.2", ""} {
		if got, err := Tagged(t.Context(), root, git, tag); err == nil || !strings.Contains(err.Error(), "git rev-parse") {
			t.Errorf("%q: %q, %v", tag, got, err)
		}
	}
	if _, err := Tagged(t.Context(), root, "", "v1.0.0"); err == nil {
		t.Error("without git")
	}
}
