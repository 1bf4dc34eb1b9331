package attest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/dist"
)

var (
	named = provenance.Workflow{
		Commit: strings.Repeat("0a", 20), Config: "https://ci.example.org/o/palisade/.ci/release.yml@refs/tags/v1.0.0", ConfigDigest: strings.Repeat("0a", 20),
		Issuer: "https://issuer.example.org", Ref: "refs/tags/v1.0.0", Repository: "https://ci.example.org/o/palisade", Run: "https://ci.example.org/o/palisade/runs/12/attempts/1",
		Runner: "github-hosted", Signer: "https://ci.example.org/o/palisade/.ci/release.yml@refs/tags/v1.0.0", SignerDigest: strings.Repeat("0a", 20), Trigger: "push",
	}
	source1 = Source{Commit: named.Commit, Tag: "v1.0.0", Repository: "git+https://ci.example.org/o/palisade", Settings: digest("distribution.yaml")}
	who     = Who{Builder: tool(named.Builder()), Workflow: named, Source: source1}
	began   = time.Date(2026, 11, 22, 7, 30, 1, 0, time.UTC)
)

func tool(id string) provenance.Builder {
	return provenance.Builder{
		ID: id, Version: map[string]string{"palisade": "v0.4.0"},
		Dependencies: []intoto.Resource{{URI: "pkg:golang/palisade@v0.4.0", Name: "palisade@v0.4.0", Digest: intoto.Digests{"dirHash": digest("tool").Hex()}}},
	}
}

// seen is what a machine that builds says of its run.
func seen() provenance.Run {
	return provenance.Run{
		InvocationID: "a machine's", Started: began, Finished: began.Add(time.Minute), Cache: provenance.Fresh, Distribution: source1.Settings,
		Repository: provenance.Repository{URI: "git+https://mirror.example.org/palisade", Commit: named.Commit, Clean: true},
	}
}

func observe(t *testing.T, r artifact.Record, b provenance.Builder, run provenance.Run) []byte {
	t.Helper()
	s, err := provenance.Statement(r, b, run)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, s)
}

func marshal(t *testing.T, s intoto.Statement) []byte {
	t.Helper()
	data, err := intoto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A run that is not of the release is refused, by the token as far as that tells and
// by the certificate in all.
func TestSource(t *testing.T) {
	for _, tt := range []struct {
		name               string
		change             func(s *Source, w *provenance.Workflow)
		claimed, witnessed bool // refused
	}{
		{"the run of the release", func(*Source, *provenance.Workflow) {}, false, false},
		{"an address as git has it", func(s *Source, _ *provenance.Workflow) { s.Repository += ".git" }, false, false},
		{"a checkout of no public address", func(s *Source, _ *provenance.Workflow) { s.Repository = "" }, false, false},
		{"another commit", func(_ *Source, w *provenance.Workflow) { w.Commit = strings.Repeat("0b", 20) }, true, true},
		{"a branch", func(_ *Source, w *provenance.Workflow) { w.Ref = "refs/heads/v1.0.0" }, true, true},
		{"another tag", func(_ *Source, w *provenance.Workflow) { w.Ref = "refs/tags/v1.0.1" }, true, true},
		{"no ref", func(_ *Source, w *provenance.Workflow) { w.Ref = "" }, true, true},
		{"another repository", func(_ *Source, w *provenance.Workflow) { w.Repository = "https://ci.example.org/fork/palisade" }, true, true},
		{"the repository of another host", func(_ *Source, w *provenance.Workflow) { w.Repository = "https://ci.attacker.example/o/palisade" }, false, true},
		{"a rehearsal", func(s *Source, _ *provenance.Workflow) { s.Tag = "" }, true, true},
		{"a rehearsal, and a ref to match", func(s *Source, w *provenance.Workflow) { s.Tag, w.Ref = "", "refs/tags/" }, true, true},
	} {
		s, w := source1, named
		tt.change(&s, &w)
		if err := s.Claimed(w); (err != nil) != tt.claimed || err != nil && !errors.Is(err, ErrForeign) {
			t.Errorf("%s: by the token %v", tt.name, err)
		}
		if err := s.Witnessed(w); (err != nil) != tt.witnessed || err != nil && !errors.Is(err, ErrForeign) {
			t.Errorf("%s: by the certificate %v", tt.name, err)
		}
	}
}

// Of what a machine said only what nobody else can know is said again.
func TestArtifact(t *testing.T) {
	r := record("hardened")
	data, err := who.Artifact(observe(t, r, tool("https://palisade.example/builders/workstation/v1"), seen()), r)
	if err != nil {
		t.Fatal(err)
	}
	s, err := intoto.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := provenance.Parse(s)
	if err == nil {
		err = p.Check(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := p.Run()
	want := provenance.Run{
		InvocationID: named.Run, Started: began, Finished: began.Add(time.Minute), Cache: provenance.Fresh, Distribution: source1.Settings,
		Repository: provenance.Repository{URI: "git+" + named.Repository, Commit: named.Commit, Clean: true},
	}
	got := run
	if got.Workflow = nil; got != want || *run.Workflow != named || p.RunDetails.Builder.ID != named.Builder() {
		t.Errorf("%+v of %+v by %s", run, run.Workflow, p.RunDetails.Builder.ID)
	}
	again, err := who.Artifact(observe(t, r, tool("https://other.example/builder"), seen()), r)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("of another machine's it is another: %v", err)
	}
}

func TestArtifactRefuses(t *testing.T) {
	r := record("hardened")
	workstation := tool("https://palisade.example/builders/workstation/v1")
	for _, tt := range []struct {
		name   string
		change func(r *artifact.Record, run *provenance.Run)
		says   string
	}{
		{"another record", func(r *artifact.Record, _ *provenance.Run) { r.Epoch++ }, "sourceDateEpoch"},
		{"another archive", func(r *artifact.Record, _ *provenance.Run) { r.Digest = digest("other") }, "subjects"},
		{"another commit", func(_ *artifact.Record, run *provenance.Run) { run.Repository.Commit = strings.Repeat("0b", 20) }, "commit"},
		{"a tree that was changed", func(_ *artifact.Record, run *provenance.Run) { run.Repository.Clean = false }, "commit"},
		{"no commit", func(_ *artifact.Record, run *provenance.Run) { run.Repository = provenance.Repository{} }, "commit"},
		{"other settings", func(_ *artifact.Record, run *provenance.Run) { run.Distribution = digest("other") }, "distribution.yaml"},
	} {
		built, run := record("hardened"), seen()
		tt.change(&built, &run)
		if _, err := who.Artifact(observe(t, built, workstation, run), r); !errors.Is(err, ErrObserved) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.says)
		}
	}
	run, w := seen(), named
	run.InvocationID, run.Workflow, run.Repository.URI = w.Run, &w, w.Source()
	if _, err := who.Artifact(observe(t, r, tool(w.Builder()), run), r); !errors.Is(err, ErrObserved) || !strings.Contains(err.Error(), "names a workflow") {
		t.Errorf("a workflow's: %v", err)
	}
	if _, err := who.Artifact([]byte("{}"), r); !errors.Is(err, ErrObserved) {
		t.Errorf("nothing: %v", err)
	}
	// What says who vouches cannot be somebody else than who does.
	other := who
	other.Builder = workstation
	if _, err := other.Artifact(observe(t, r, workstation, seen()), r); !errors.Is(err, provenance.ErrInput) {
		t.Errorf("another builder: %v", err)
	}
}

// imageOf is an image of one platform that was made of r.
func imageOf(r artifact.Record) artifact.Image {
	zip := digest("roots")
	const name = "bell-1.2.0-palisade.3.oci.tar"
	return artifact.Image{
		Name: name, Size: 1, Digest: digest(name), Component: "bell", Version: r.Version, Variant: r.Variant, Epoch: r.Epoch, Index: digest("index"),
		Roots: artifact.Module{Path: "example.org/roots", Version: "v0.0.1", Sum: h1("roots"), Zip: &zip}, Documents: []artifact.File{{Name: name + ".spdx.json", Digest: digest("document of the image")}},
		Platforms: []artifact.PlatformImage{{
			Platform: linux, Manifest: digest("manifest"), Config: digest("config"), Artifact: r.Name,
			Layers: []artifact.Layer{{Name: "licences", Members: []artifact.File{{Name: "usr/share/sbom/bell.spdx.json", Digest: digest("document")}}}},
		}},
	}
}

// A whole release is attested, again to the same bytes, and not at all by halves
// that are not its own.
func TestRelease(t *testing.T) {
	r := record("hardened")
	m := &artifact.Manifest{Artifacts: []artifact.Record{r}, Images: []artifact.Image{imageOf(r)}}
	i := m.Images[0]
	image, err := provenance.ImageStatement(i, m.Artifacts, tool("https://palisade.example/builders/workstation/v1"), seen())
	if err != nil {
		t.Fatal(err)
	}
	left := map[string][]byte{
		dist.Provenance(r):      observe(t, r, tool("https://palisade.example/builders/workstation/v1"), seen()),
		dist.ImageProvenance(i): marshal(t, image),
	}
	observed := func(name string, max int64) ([]byte, error) {
		if data, ok := left[name]; ok && int64(len(data)) <= max {
			return data, nil
		}
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	dir := t.TempDir()
	read := func(name string) ([]byte, time.Time) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data, info.ModTime()
	}
	if err := who.Release(t.Context(), dir, m, observed); err != nil {
		t.Fatal(err)
	}
	first, at := read(dist.ImageProvenance(i))
	s, err := intoto.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	p, err := provenance.ParseImage(s)
	if err != nil || *p.Run().Workflow != named || p.Check(i, m.Artifacts) != nil {
		t.Errorf("%+v, %v", p.Run(), err)
	}
	if err := who.Release(t.Context(), dir, m, observed); err != nil {
		t.Fatal(err)
	}
	if again, later := read(dist.ImageProvenance(i)); !bytes.Equal(again, first) || !later.Equal(at) {
		t.Error("the second time it was written again")
	}
	for name, want := range map[string]error{dist.Provenance(r): fs.ErrNotExist, dist.ImageProvenance(i): fs.ErrNotExist} {
		kept := left[name]
		delete(left, name)
		if err := who.Release(t.Context(), t.TempDir(), m, observed); !errors.Is(err, want) {
			t.Errorf("without %s: %v", name, err)
		}
		left[name] = kept
	}
	left[dist.ImageProvenance(i)] = left[dist.Provenance(r)]
	if err := who.Release(t.Context(), t.TempDir(), m, observed); !errors.Is(err, ErrObserved) {
		t.Errorf("with another's in place of the image's: %v", err)
	}
}
