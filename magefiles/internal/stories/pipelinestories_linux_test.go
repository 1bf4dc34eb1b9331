package stories

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/signing/sigstoretest"
	"palisade/magefiles/internal/miniature"
)

// Who cuts a release on GitHub: twice, on other machines; once with each of its
// machines switched off while it works; and once with everything that can be given
// to it wrongly, each of which is refused before the next is tried. What is published
// in the end is the same.
func TestPipelineGitHub(t *testing.T) {
	p := newPipelines(t, sigstoretest.GitHub)
	first := p.cut(t, "first", pipelineTag, nil)
	if err := first.Rest(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := first.published(t)
	first.called(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T, *cut)
	}{
		{"again", func(t *testing.T, c *cut) { c.must(t, c.Rest(t.Context())) }},
		{"switched off", switchedOff},
		{"refused", func(t *testing.T, c *cut) { c.refused(t, first) }},
	} {
		t.Run(story.name, func(t *testing.T) {
			c := p.cut(t, strings.ReplaceAll(story.name, " ", "-"), pipelineTag, nil)
			story.tell(t, c)
			if got := c.published(t); !maps.Equal(got, want) {
				t.Errorf("it published other things:\n%s\nthan the first time:\n%s", facts(got), facts(want))
			}
		})
	}
	t.Run("consumers", func(t *testing.T) { first.consumers(t) })
	t.Run("the next release", func(t *testing.T) { first.next(t) })
}

// The same on GitLab.
func TestPipelineGitLab(t *testing.T) {
	p := newPipelines(t, sigstoretest.GitLab)
	c := p.cut(t, "gitlab", pipelineTag, nil)
	c.must(t, c.Rest(t.Context()))
	c.published(t)
	c.called(t)
}

func (c *cut) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// published is what the release consists of, by name: the digest of each file that
// release.json names and its own, of what the registry has of images, and of the
// files as they lie there. Signatures, and what says when it was built, are not in it.
func (c *cut) published(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, data := range c.handed(t, "sign") {
		name = strings.TrimPrefix(name, "dist/")
		if name == "release.json" || name == "SHA256SUMS" || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".oci.tar") || strings.HasSuffix(name, ".spdx.json") {
			all[name] = artifact.DigestBytes(data).String()
		}
	}
	if len(all) < 7 {
		t.Errorf("the release is %s", facts(all))
	}
	tags := c.registry.tags(t)
	for tag, digest := range tags {
		if !strings.HasPrefix(tag, "palisade/release:") {
			all[tag] = digest
		}
	}
	for _, tag := range []string{"palisade/hello:1.2.3-palisade.1", "palisade/release:v1.0.0", "palisade/release:index"} {
		if tags[tag] == "" {
			t.Errorf("there is no %s in the registry: %s", tag, facts(tags))
		}
	}
	if len(tags) != 3 {
		t.Errorf("the registry has %s", facts(tags))
	}
	if denied := c.registry.refused(); len(denied) > 0 {
		t.Errorf("somebody wrote without leave: %q", denied)
	}
	return all
}

func facts(all map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s %s\n", all[name], name)
	}
	return b.String()
}

// handed is what is in the hand-over of a job, in the store.
func (c *cut) handed(t *testing.T, job string) map[string][]byte {
	t.Helper()
	f, err := os.Open(c.stored(t, job+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// stored is a file in the store of artifacts.
func (c *cut) stored(t *testing.T, name string) string {
	t.Helper()
	var found []string
	_ = filepath.WalkDir(c.Store(), func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == name {
			found = append(found, path)
		}
		return nil
	})
	if len(found) != 1 {
		t.Fatalf("the store has %q of %s", found, name)
	}
	return found[0]
}

// called holds whom each job called against what its step needs.
func (c *cut) called(t *testing.T) {
	t.Helper()
	for job, want := range map[string][]string{
		"plan": {}, "build": {"modules"}, "audit": {}, "assemble": {"advisories", "modules"},
		"sign": {"authority", "issuer", "log", "timestamps"}, "publish": {"registry"}, "verify": {"registry"},
	} {
		if c.provider == sigstoretest.GitLab { // its tokens come with the job
			want = slices.DeleteFunc(want, func(name string) bool { return name == "issuer" })
		}
		if job == "plan" && c.Values["vars.FIRST"] == "" {
			want = []string{"registry"}
		}
		if got := slices.Sorted(maps.Keys(c.Called[job])); !slices.Equal(got, want) {
			t.Errorf("%s called %q, not %q", job, got, want)
		}
	}
}

// nothing is published, or a tag of it can be found.
func (c *cut) nothing(t *testing.T, when string) {
	t.Helper()
	if tags := c.registry.tags(t); len(tags) > 0 {
		t.Errorf("%s: %s is published", when, facts(tags))
	}
}

// switchedOff switches the machine of each job off while it works. What it made is
// there when it is on again; nothing that it started lives on.
func switchedOff(t *testing.T, c *cut) {
	for _, off := range []struct {
		job  string
		when miniature.Cut
	}{
		{"plan", miniature.At("work/release/*")},
		{"build", miniature.At("home/.cache/palisade/tmp/*-archive-2-*/files/*")},
		{"audit", miniature.At("work/release/work/audit*/dist/*")},
		{"assemble", miniature.At("work/release/work/assemble/dist/*.oci.tar")},
		{"sign", miniature.At("work/release/work/sign/dist/*.sigstore.json")},
		{"publish", c.writes(5)},
		{"publish", c.tagged()},
		{"verify", miniature.At("tmp/*/*")},
	} {
		c.must(t, c.Before(t.Context(), off.job))
		var err error
		for range 5 { // on a busy machine it can be over before it is seen
			if err = c.Do(t.Context(), off.job, off.when); !errors.Is(err, miniature.ErrUncut) || off.job == "publish" {
				break
			}
			c.must(t, c.Fresh(off.job))
		}
		if !errors.Is(err, miniature.ErrCut) {
			t.Fatalf("%s: %v", off.job, err)
		}
		if err := gone(c.Place(off.job, 1)); err != nil {
			t.Errorf("%s: %v", off.job, err)
		}
		if off.job != "publish" && off.job != "verify" {
			c.nothing(t, off.job+" was switched off")
		}
	}
	c.must(t, c.Rest(t.Context()))
}

// writes is when the registry has been written to so often since now.
func (c *cut) writes(n int) miniature.Cut {
	return func(string) bool { return c.registry.writes() >= n }
}

// tagged is when there is a tag.
func (c *cut) tagged() miniature.Cut {
	return func(string) bool { return c.registry.tagged() }
}

// next cuts another release that follows the first: nothing else changed, so it has the
// same artifacts. What was the newest is that no longer. It follows the index that is
// published, which who plans and who signs believe each for himself.
func (c *cut) next(t *testing.T) {
	again := c.cut(t, "released-already", c.tag, c.registry)
	again.fails(t, "what is released already", "plan", 3, "is released already")
	n := c.cut(t, "next", c.pipelines.next(t, "1.0.1"), c.registry)
	n.must(t, n.Before(t.Context(), "sign"))
	signature := n.stored(t, releases.BundleName)
	was, err := os.ReadFile(signature)
	n.must(t, errors.Join(err, os.WriteFile(signature, []byte("{}"), 0o644)))
	n.fails(t, "an index of releases that lost its signature in the store", "sign", 3, releases.FileName, "not signed by anybody whom the policy accepts")
	n.must(t, os.WriteFile(signature, was, 0o644))
	n.must(t, n.Rest(t.Context()))
	n.called(t)
	tags := c.registry.tags(t)
	for _, tag := range []string{"palisade/release:v1.0.0", "palisade/release:v1.0.1"} {
		if tags[tag] == "" {
			t.Errorf("there is no %s in the registry: %s", tag, facts(tags))
		}
	}
}
