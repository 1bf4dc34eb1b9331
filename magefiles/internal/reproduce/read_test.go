package reproduce

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/dist"
)

var errStranger = errors.New("nobody believes him")

// opener believes what begins with "signed ".
func opener(data []byte) ([]byte, error) {
	statement, signed := strings.CutPrefix(string(data), "signed ")
	if !signed {
		return nil, errStranger
	}
	return []byte(statement), nil
}

// released is a folder with a release, and the digest of its index.
func releasedIn(t *testing.T) (dir string, b built, index artifact.Digest) {
	t.Helper()
	b, err := builtFrom("../../..", "")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	archive, image, err := b.statements(repository(""))
	if err == nil {
		err = b.write(dir, true, repository(""))
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string][]byte{dist.Provenance(b.record): archive, dist.ImageProvenance(b.image): image} {
		if err := os.WriteFile(filepath.Join(dir, dist.Bundle(name)), append([]byte("signed "), statement...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if index, _, err = artifact.DigestFile(filepath.Join(dir, dist.Index)); err != nil {
		t.Fatal(err)
	}
	return dir, b, index
}

func TestRelease(t *testing.T) {
	dir, b, index := releasedIn(t)
	for only, want := range map[string]string{
		"": b.record.Name + " true, " + b.image.Name + " true", dist.Index: b.record.Name + " true, " + b.image.Name + " true",
		b.record.Name: b.record.Name + " true",
		b.image.Name:  b.record.Name + " false, " + b.image.Name + " true", // which needs its archive
	} {
		targets, err := Release(dir, only, index, opener)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(targets); got != want {
			t.Errorf("%s: got %s, want %s", only, got, want)
		}
		for _, target := range targets {
			if target.Folder != dir || target.file() != target.Name || len(target.Said) != 1 {
				t.Errorf("%s: got %+v", only, target)
			}
		}
	}
}

func names(targets []Target) string {
	var all []string
	for _, t := range targets {
		attest := map[bool]string{true: " true", false: " false"}[t.Attest]
		all = append(all, t.Name+attest)
	}
	return strings.Join(all, ", ")
}

// What lies there after it was verified is not believed for that.
func TestReleaseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, only, want string
		change           func(t *testing.T, dir string, b built)
	}{
		{"another index", "", "is no longer what was verified", func(t *testing.T, dir string, b built) { edit(t, filepath.Join(dir, dist.Index), "\n") }},
		{"a stranger's bundle", "", errStranger.Error(), func(t *testing.T, dir string, b built) {
			os.WriteFile(filepath.Join(dir, dist.Bundle(dist.Provenance(b.record))), []byte("{}"), 0o644)
		}},
		{"no bundle", "", "no such file", func(t *testing.T, dir string, b built) {
			os.Remove(filepath.Join(dir, dist.Bundle(dist.ImageProvenance(b.image))))
		}},
		{"a link", "", "is not a regular file", func(t *testing.T, dir string, b built) {
			name := filepath.Join(dir, dist.Bundle(dist.Provenance(b.record)))
			os.Rename(name, name+".moved")
			os.Symlink(name+".moved", name)
		}},
		{"that of another", "", provenance.ErrBuildType.Error(), func(t *testing.T, dir string, b built) {
			data, _ := os.ReadFile(filepath.Join(dir, dist.Bundle(dist.ImageProvenance(b.image))))
			os.WriteFile(filepath.Join(dir, dist.Bundle(dist.Provenance(b.record))), data, 0o644)
		}},
		{"of an earlier build", "", provenance.ErrSubject.Error(), func(t *testing.T, dir string, b built) {
			earlier, err := builtFrom("../../..", " earlier")
			if err != nil {
				t.Fatal(err)
			}
			archive, _, err := earlier.statements(repository(""))
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(filepath.Join(dir, dist.Bundle(dist.Provenance(b.record))), append([]byte("signed "), archive...), 0o644)
		}},
		{"nothing of that name", "bell.tar.gz", `names no "bell.tar.gz"`, func(*testing.T, string, built) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, b, index := releasedIn(t)
			tt.change(t, dir, b)
			if got, err := Release(dir, tt.only, index, opener); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %+v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// What was said of a release that was replaced meanwhile is not put beside its
// successor.
func TestStillThere(t *testing.T) {
	dir, b, index := releasedIn(t)
	targets, err := Release(dir, "", index, opener)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		a := Attested{Target: target.Name, Provenance: target.Said[0].bundle}
		if err := StillThere(dir, a); err != nil || a.Provenance.Name == "" {
			t.Errorf("%+v: %v", a, err)
		}
		edit(t, filepath.Join(dir, a.Provenance.Name), " ")
		if err := StillThere(dir, a); err == nil || !strings.Contains(err.Error(), "was replaced in ") {
			t.Errorf("replaced: %v", err)
		}
		os.Remove(filepath.Join(dir, a.Provenance.Name))
		if err := StillThere(dir, a); err == nil || !strings.Contains(err.Error(), "was replaced in ") {
			t.Errorf("gone: %v", err)
		}
	}
	if err := StillThere(dir, Attested{Target: b.record.Name}); err == nil {
		t.Error("of no provenance")
	}
}

type attached map[artifact.Digest][][]byte

func (a attached) Bundles(_ context.Context, d artifact.Digest) ([][]byte, error) { return a[d], nil }

// Of an image in a registry each digest has a provenance of its own, with those of
// the archives beside them, and whatever others put there.
func TestImage(t *testing.T) {
	b, err := builtFrom("../../..", "")
	if err != nil {
		t.Fatal(err)
	}
	archive, image, err := b.statements(repository(""))
	if err != nil {
		t.Fatal(err)
	}
	other, err := builtFrom("../../..", " other")
	if err != nil {
		t.Fatal(err)
	}
	beside, _, err := other.statements(repository(""))
	if err != nil {
		t.Fatal(err)
	}
	about := func(d artifact.Digest) []byte {
		s, err := intoto.Parse(image)
		if err == nil {
			s, err = provenance.About(s, d)
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := intoto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	signed := func(statement []byte) []byte { return append([]byte("signed "), statement...) }
	index, manifest := b.image.Index, b.image.Platforms[0].Manifest
	in := attached{
		index:    {[]byte("{}"), signed(about(manifest)), signed(about(index)), signed(about(index))},
		manifest: {signed(about(manifest)), signed(archive), signed(archive), signed(beside), signed([]byte("{}"))},
	}
	targets, err := Image(t.Context(), "registry.example/bell", in, []artifact.Digest{index, manifest}, opener)
	if err != nil {
		t.Fatal(err)
	}
	if want := b.record.Name + " false, registry.example/bell true"; names(targets) != want || len(targets[1].Said) != 2 {
		t.Errorf("got %s", names(targets))
	}
	if said := targets[1].Said[1]; len(said.Given.Subject) != 1 || said.Given.Subject[0].Name != component+"/linux-amd64" || targets[1].file() != b.image.Name {
		t.Errorf("got %+v", said.Given)
	}
	in[manifest] = in[manifest][1:]
	if _, err := Image(t.Context(), "registry.example/bell", in, []artifact.Digest{index, manifest}, opener); err == nil || !strings.Contains(err.Error(), "none that is believed is attached to "+manifest.String()) {
		t.Errorf("without that of a manifest: %v", err)
	}
	if _, err := Image(t.Context(), "x", in, nil, opener); err == nil {
		t.Error("an image of nothing")
	}
}

// A statement is somebody's whom a policy believes, and may say anything.
func FuzzRead(f *testing.F) {
	for _, page := range []string{"build.md", "image.md"} {
		text, err := os.ReadFile(filepath.Join("../../../attestations/predicates", page))
		if err != nil {
			f.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\n```json\n")
		statement, _, _ := strings.Cut(rest, "```\n")
		f.Add([]byte(statement))
	}
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		said, err := Read(data)
		if err != nil {
			return
		}
		target := Target{Name: "x", Said: []Said{said}}
		_, _ = needOf(target, []Target{target})
		if step := target.step(); len(step.Args) != 5 || target.file() == "" || len(said.changes(said)) != 0 {
			t.Errorf("%+v", step)
		}
	})
}
