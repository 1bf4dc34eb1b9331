package stories

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/signing/sigstoretest"
	"palisade/magefiles/internal/miniature"
)

// fails runs a job, which has to end with a status and say why.
func (c *cut) fails(t *testing.T, what, job string, status int, says ...string) {
	t.Helper()
	err := c.Do(t.Context(), job, nil)
	defer func() { c.must(t, c.Fresh(job)) }()
	failed := new(miniature.JobError)
	exit := new(exec.ExitError)
	if !errors.As(err, &failed) || !errors.As(err, &exit) || exit.ExitCode() != status {
		t.Errorf("%s: %s ended with %v, want status %d", what, job, err, status)
		return
	}
	for _, want := range says {
		if !strings.Contains(failed.Output, want) {
			t.Errorf("%s: %s does not say %q:\n%s", what, job, want, failed.Output)
		}
	}
	t.Logf("%s:\n%s", what, failed.Output)
	if c.Values["vars.FIRST"] != "" {
		c.nothing(t, what)
	}
}

// refused gives each job what it has to refuse, and then what is right. What another
// run of the same pipeline made is whole, and true, and not what this one made.
func (c *cut) refused(t *testing.T, other *cut) {
	right := c.Checkout

	// A tree that is not as committed, and a tag that is not the release's.
	c.Checkout = func(ctx context.Context, to string) error {
		if err := right(ctx, to); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(to, "recipes", "quiet", "recipe.yaml"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("# for now\n")
		return errors.Join(err, f.Close())
	}
	c.fails(t, "a dirty tree", "plan", 3, "not as committed")
	c.Checkout = right
	c.Values["github.ref_name"] = "v1.0.1"
	c.fails(t, "another tag", "plan", 3, "v1.0.1", "v1.0.0")
	c.Values["github.ref_name"] = pipelineTag
	c.must(t, c.Do(t.Context(), "plan", nil))

	// A machine that has another commit builds nothing of this one.
	elsewhere := c.another(t)
	c.Checkout = func(ctx context.Context, to string) error { return c.checkout(ctx, to, elsewhere) }
	c.fails(t, "another commit", "build", 3, "not the one of the plan")
	c.Checkout = right
	c.must(t, c.Do(t.Context(), "build", nil))
	c.must(t, c.Do(t.Context(), "audit", nil))

	// Who can write to the store changes one bit, or puts there what another run made of
	// the same plan; and a shard says that it made what was made of another plan.
	restore := flipped(t, c.stored(t, "build-2-of-2.tar"))
	c.fails(t, "a shard that was changed in the store", "assemble", 3, "build-2-of-2.tar")
	restore()
	restore = c.exchange(t, other, "build", "", "build-1-of-2.tar")
	c.fails(t, "a shard of another run", "assemble", 3, "not the hand-over that was asked for", other.Output("build", "build_1"))
	restore()
	restore = c.foreign(t, elsewhere)
	c.fails(t, "a shard of another commit", "assemble", 3, "plan")
	restore()
	c.must(t, c.Do(t.Context(), "assemble", nil))

	for _, token := range []struct {
		what   string
		claims sigstoretest.Claims
		says   string
	}{
		{"an expired token", sigstoretest.Claims{"exp": 1}, "expired"},
		{"a token for somebody else", sigstoretest.Claims{"aud": "registry.example"}, "registry.example"},
		{"a token of another repository", sigstoretest.Claims{"repository": "palisade/fork"}, "palisade/fork"},
		{"a token of another commit", sigstoretest.Claims{"sha": strings.Repeat("0", 40)}, strings.Repeat("0", 40)},
	} {
		c.claims = token.claims
		c.fails(t, token.what, "sign", 3, token.says)
	}
	c.claims = nil
	restore = flipped(t, c.stored(t, "assemble.tar"))
	c.fails(t, "a release that was changed in the store", "sign", 3, "assemble.tar")
	restore()
	c.must(t, c.Do(t.Context(), "sign", nil))

	// Half of it is there, and cannot be found. The next run sends the rest.
	restore = flipped(t, c.stored(t, "sign.tar"))
	c.fails(t, "what was signed changed in the store", "publish", 3, "sign.tar")
	restore()
	c.registry.fail(9)
	c.fails(t, "a registry that takes half", "publish", 1, "DENIED")
	c.registry.fail(0)
	c.must(t, c.Rest(t.Context()))
}

// flipped changes one bit of a file, until it is told to take that back.
func flipped(t *testing.T, name string) (restore func()) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(data)
	changed[len(changed)/2] ^= 1
	if err := os.WriteFile(name, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// another is the tag of another commit of the repository.
func (c *cut) another(t *testing.T) string {
	t.Helper()
	const tag = "other"
	if _, err := gitIn(t.Context(), c.origin, "rev-parse", "--verify", "refs/tags/"+tag); err == nil {
		return tag
	}
	if err := os.WriteFile(filepath.Join(c.origin, "another"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"checkout", "-q", "-b", tag}, {"add", "-A"}, {"commit", "-q", "-m", "Another"}, {"tag", tag}, {"checkout", "-q", "main"}} {
		c.git(t, args...)
	}
	return tag
}

// foreign puts what another run made of a shard, of another commit, in the place of
// this one's, and has its digest be the one that is handed on.
func (c *cut) foreign(t *testing.T, tag string) (restore func()) {
	t.Helper()
	o := c.cut(t, "foreign", tag, nil)
	o.Values["github.ref_name"] = pipelineTag
	o.Checkout = func(ctx context.Context, to string) error {
		if err := o.checkout(ctx, to, tag); err != nil {
			return err
		}
		_, err := gitIn(ctx, to, "tag", pipelineTag)
		return err
	}
	c.must(t, o.Before(t.Context(), "audit"))
	return c.exchange(t, o, "build", "build_1", "build-1-of-2.tar")
}

// exchange puts a file of another run into the store, and, if there is a name for
// that, its digest into the outputs of its job.
func (c *cut) exchange(t *testing.T, o *cut, job, output, file string) (restore func()) {
	t.Helper()
	name := c.stored(t, file)
	mine, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(o.stored(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(mine, theirs) {
		t.Fatalf("%s of another run is the same", file)
	}
	digest := c.Output(job, output)
	set := func(data []byte, digest string) {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if output != "" {
			c.SetOutput(job, output, digest)
		}
	}
	set(theirs, o.Output(job, output))
	return func() { set(mine, digest) }
}
