package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
)

// Each case changes one thing of what an image is made of, and is refused for
// it; nothing is left behind.
func TestBuildRefuses(t *testing.T) {
	first := func(change func(*artifact.Record)) func(*Spec) {
		return func(s *Spec) { change(&s.Sources[0].Record) }
	}
	// gives has the file whose name ends so read as something else.
	gives := func(name string, content string, err error) func(*Spec) {
		return func(s *Spec) {
			from := s.Sources[1].Open
			s.Sources[1].Open = func(f artifact.File) (io.ReadCloser, error) {
				if strings.HasSuffix(f.Name, name) {
					return io.NopCloser(strings.NewReader(content)), err
				}
				return from(f)
			}
		}
	}
	without := func(name string) func(*artifact.Record) {
		return func(r *artifact.Record) {
			r.Members = slices.DeleteFunc(r.Members, func(f artifact.File) bool { return strings.HasSuffix(f.Name, "/"+name) })
		}
	}
	broken := errors.New("disk is broken")
	for _, tt := range []struct {
		name   string
		change func(*Spec)
		is     error
		want   string
	}{
		{"no recipe", func(s *Spec) { s.Recipe = nil }, nil, "neither recipe nor distribution"},
		{"no image section", func(s *Spec) { s.Recipe.Image = nil }, nil, "recipe of bell has no image section: write one into recipes/bell/recipe.yaml"},
		{"no roots", func(s *Spec) { s.Distribution.Roots = nil }, nil, "name their module as roots in distribution.yaml"},
		{"empty roots", func(s *Spec) { s.Roots.PEM = nil }, nil, "no certificate authorities"},
		{"no artifact", func(s *Spec) { s.Sources = nil }, nil, "no artifact of bell is there"},
		{"a version that is no tag", func(s *Spec) {
			s.Recipe.Version += "+more"
			for i := range s.Sources {
				s.Sources[i].Record.Version = s.Recipe.FullVersion(s.Distribution, s.Variant)
			}
		}, ocilayout.ErrLayout, "is not of the form name:tag"},
		{"another component", first(func(r *artifact.Record) { r.Component = "clock" }), ErrSource, "is clock 2.1.0-palisade.1, hardened, and not bell"},
		{"another version", first(func(r *artifact.Record) { r.Version = "2.1.0-palisade.2" }), ErrSource, "and not bell 2.1.0-palisade.1"},
		{"another variant", first(func(r *artifact.Record) { r.Variant = "vanilla" }), ErrSource, "vanilla, and not bell"},
		{"another recipe", first(func(r *artifact.Record) { r.Recipe = artifact.DigestBytes(nil) }), ErrSource, "was made by the recipe sha256:e3b0"},
		{"another time", first(func(r *artifact.Record) { r.Epoch++ }), ErrSource, "has epoch 1793266113"},
		{"another revision", func(s *Spec) { s.Sources[1].Record.Revision = "h1:other=" }, ErrSource, "revision h1:other="},
		{"not for linux", first(func(r *artifact.Record) { r.Platform = artifact.Platform{OS: "darwin", Arch: "arm64"} }), ErrSource, "is for darwin/arm64, which images are not made for"},
		{"a platform of others", first(func(r *artifact.Record) { r.Platform.Arch = "mips" }), ErrSource, "is for linux/mips"},
		{"a platform twice", first(func(r *artifact.Record) { r.Platform.Arch = "arm64" }), ErrSource, "two artifacts for linux/arm64"},
		{"no licence", first(without("LICENSE")), ErrSource, "linux/amd64: layer licences: artifact is not what the image is made of: bell-2.1.0-palisade.1.linux-amd64.tar.gz holds no LICENSE; build it again"},
		{"no texts", first(without("THIRD_PARTY_LICENSES")), ErrSource, "holds no THIRD_PARTY_LICENSES"},
		{"no configuration", first(without("tune.txt")), ErrSource, "holds no tune.txt"},
		{"no binary", first(without("hammer")), ErrSource, "holds no hammer"},
		{"no document", first(func(r *artifact.Record) { r.Documents = nil }), ErrSource, "has no document bell-2.1.0-palisade.1.linux-amd64.tar.gz.spdx.json"},
		{"a binary nobody described", first(func(r *artifact.Record) { r.Binaries = r.Binaries[:1] }), ErrSource, "holds another hammer than its record describes"},
		{"another binary than was described", first(func(r *artifact.Record) { r.Binaries[0].Digest = artifact.DigestBytes(nil) }), ErrSource, "holds another bell than"},
		{"a binary of other content", gives("/bell", strings.Repeat("x", 1<<17), nil), ErrSource, "linux/arm64: layer binaries: bin/bell: artifact is not what the image is made of: it is not the file of 131072 bytes"},
		{"a binary cut short", gives("/bell", "x", nil), ErrSource, "bin/bell: artifact is not"},
		{"a binary that grew", gives("/bell", strings.Repeat("x", 1<<17+1), nil), ErrSource, "bin/bell: artifact is not"},
		{"an endless binary", func(s *Spec) {
			s.Sources[1].Open = func(artifact.File) (io.ReadCloser, error) { return io.NopCloser(endless{}), nil }
		}, ErrSource, "it is not the file of"},
		{"a size too small", first(func(r *artifact.Record) { r.Documents[0].Size-- }), ErrSource, "usr/share/sbom/bell.spdx.json: artifact is not"},
		{"a size too large", first(func(r *artifact.Record) { r.Documents[0].Size++ }), ErrSource, "usr/share/sbom/bell.spdx.json: artifact is not"},
		{"another document", gives(".spdx.json", "{}", nil), ErrSource, "usr/share/sbom/bell.spdx.json: artifact is not"},
		{"another text", gives("/LICENSE", "Everything is permitted", nil), ErrSource, "usr/share/licenses/bell/LICENSE: artifact is not"},
		{"a file that cannot be opened", gives("/hammer", "", broken), broken, "bin/hammer: disk is broken"},
		{"an own file that is gone", func(s *Spec) { s.Recipe.Image.Files[0].Own = "gone.yml" }, fs.ErrNotExist, "layer configuration"},
		{"a file there twice", func(s *Spec) { s.Recipe.Image.Files[1].As = s.Recipe.Image.Files[0].As }, nil, "layer configuration: etc/bell/bell.yml is there twice"},
		{"a file and a folder", func(s *Spec) { s.Recipe.Image.Files[1].As = "/etc/bell/bell.yml/tune" }, nil, "etc/bell/bell.yml is a file and a folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(t, made(t), "bell", "hardened")
			tt.change(&s)
			image, err := Build(t.Context(), io.Discard, s)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got  %v\nwant %v: %s", err, tt.is, tt.want)
			}
			if image.Name != "" {
				t.Errorf("a refused image is handed out: %+v", image)
			}
			empty(t, s.Temp)
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestBuildStops(t *testing.T) {
	s := spec(t, made(t), "bell", "hardened")
	if _, err := Build(cancelled(t), io.Discard, s); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	empty(t, s.Temp)
	full := errors.New("no space left")
	data, _ := build(t, s)
	for _, room := range []int{0, 600, len(data) - 1} {
		if _, err := Build(t.Context(), &small{room: room, err: full}, s); !errors.Is(err, full) {
			t.Errorf("with room for %d of %d bytes: %v", room, len(data), err)
		}
		empty(t, s.Temp)
	}
	s.Temp += "/nowhere"
	if _, err := Build(t.Context(), io.Discard, s); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a place for blobs: %v", err)
	}
}

type small struct {
	bytes.Buffer
	room int
	err  error
}

func (s *small) Write(p []byte) (int, error) {
	if s.Len()+len(p) > s.room {
		return 0, s.err
	}
	return s.Buffer.Write(p)
}

// What the annotations say of licences is bounded, and one expression.
func TestLicence(t *testing.T) {
	s := spec(t, made(t), "bell", "hardened")
	b, err := s.prepare()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		all  []string
		want string
	}{
		{[]string{"MIT OR ISC"}, "(BSD-3-Clause AND MPL-2.0) AND (MIT OR ISC)"},
		{[]string{"MIT OR ISC", "MIT OR ISC"}, "(BSD-3-Clause AND MPL-2.0) AND (MIT OR ISC)"},
		{[]string{"MIT OR ISC", "BSD-3-Clause"}, "(BSD-3-Clause) AND (BSD-3-Clause AND MPL-2.0) AND (MIT OR ISC)"},
		{[]string{roots.Terms}, roots.Terms},
		{[]string{strings.Repeat("MIT AND ", 200) + "MIT"}, "(BSD-3-Clause AND MPL-2.0) AND Apache-2.0 AND LicenseRef-THIRD-PARTY-LICENSES"},
		{[]string{""}, "(BSD-3-Clause AND MPL-2.0) AND Apache-2.0 AND LicenseRef-THIRD-PARTY-LICENSES"},
	} {
		if got := b.licence(tt.all...); got != tt.want {
			t.Errorf("%.80q: %s, want %s", tt.all, got, tt.want)
		}
	}
	b.terms = ""
	if got := b.licence("MIT"); got != "MIT" {
		t.Errorf("of certificates whose terms nobody said: %s", got)
	}
}

func TestHome(t *testing.T) {
	for edit, want := range map[string]string{
		"github.com/example/bell/v2": "https://github.com/example/bell", "example.org/bell/v2": "https://bell.example",
		"github.com/x": "https://bell.example",
	} {
		s := spec(t, made(t), "bell", "hardened")
		s.Recipe.Module = edit
		if got := home(s.Recipe); got != want {
			t.Errorf("%s: %s, want %s", edit, got, want)
		}
	}
}
