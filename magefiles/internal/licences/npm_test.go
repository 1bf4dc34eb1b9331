package licences

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
)

// at fetches what lies at tarball.
func at(tarball string) func(context.Context, artifact.Package) (string, error) {
	return func(context.Context, artifact.Package) (string, error) { return tarball, nil }
}

// A package that was read before is not fetched again; one that cannot be
// fetched leaves nothing behind.
func TestNPMFetchesOnce(t *testing.T) {
	p, tarball := packageOf(t, file{"package/LICENSE", standardText(t, "MIT")})
	r, gone := newReader(t), errors.New("gone")
	unreachable := func(context.Context, artifact.Package) (string, error) { return "", gone }
	if _, err := r.NPM(t.Context(), p, unreachable); !errors.Is(err, gone) || !strings.Contains(err.Error(), "bell@1.0.0") {
		t.Fatalf("got %v", err)
	}
	first, err := r.NPM(t.Context(), p, at(tarball))
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.NPM(t.Context(), p, unreachable)
	if err != nil || say(again) != say(first) {
		t.Errorf("again: %s, %v", say(again), err)
	}
}

func TestNPM(t *testing.T) {
	mit := standardText(t, "MIT")
	const meta = `{"name": "bell", "license": "MIT", "author": "Ada Bell"}`
	for _, tt := range []struct {
		name  string
		files []file
		want  string
	}{
		{"a licence file", []file{{"package/package.json", meta}, {"package/LICENSE", mit}, {"package/README.md", "# Licence\n\n" + mit}}, "MIT | unknown  | texts LICENSE | Copyright (c) 2020 Ada Bell"},
		{"a folder of another name", []file{{"bell/package.json", meta}, {"bell/LICENSE", mit}}, "MIT | unknown  | texts LICENSE | Copyright (c) 2020 Ada Bell"},
		{"in the README", []file{{"package/package.json", meta}, {"package/README.md", "# Bell\n\nRings.\n\n## License\n\n" + mit + "\n## Thanks\n\nYou must not.\n"}}, "MIT | unknown  | texts (README, on the licence) | Copyright (c) 2020 Ada Bell"},
		{"in the README, underlined", []file{{"package/package.json", meta}, {"package/readme", "Bell\n====\n\nThe MIT License\n---------------\n\n" + mit + "\nThanks\n------\n\nYou must not.\n"}}, "MIT | unknown  | texts (README, on the licence) | Copyright (c) 2020 Ada Bell"},
		{"only named in the README", []file{{"package/package.json", meta}, {"package/README.md", "## License\n\nMIT\n"}, {"package/index.js", "/*! (c) 2020 Ada Bell */\n"}}, " | unknown  | texts  | (c) 2020 Ada Bell"},
		{"nothing", []file{{"package/index.js", "ring()\n"}}, " | unknown  | texts  | "},
	} {
		p, tarball := packageOf(t, tt.files...)
		found, err := newReader(t).NPM(t.Context(), p, at(tarball))
		if err != nil || say(found) != tt.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", tt.name, err, say(found), tt.want)
		}
		sum, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Integrity, "sha512-"))
		if found.SHA512 != hex.EncodeToString(sum) {
			t.Errorf("%s: SHA-512 is %s", tt.name, found.SHA512)
		}
	}
}

func TestNPMRefuses(t *testing.T) {
	for name, files := range map[string][]file{
		"leads out":     {{"package/../../LICENSE", "x"}},
		"no folder":     {{"LICENSE", "x"}},
		"deep metadata": {{"package/package.json", `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}"}},
		"twice":         {{"package/LICENSE", "x"}, {"package/./LICENSE", "y"}},
		"large":         {{"package/LICENSE", strings.Repeat("x", maxText+1)}},
	} {
		p, tarball := packageOf(t, files...)
		if _, err := newReader(t).NPM(t.Context(), p, at(tarball)); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "bell@1.0.0") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, tarball := packageOf(t, file{"package/LICENSE", "x"})
	other, _ := packageOf(t, file{"package/LICENSE", "y"})
	if _, err := newReader(t).NPM(t.Context(), other, at(tarball)); !errors.Is(err, npm.ErrIntegrity) {
		t.Errorf("another package: %v", err)
	}
	if err := os.Truncate(tarball, 40); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(tarball)
	sum := sha512.Sum512(data)
	p.Integrity = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	if _, err := newReader(t).NPM(t.Context(), p, at(tarball)); !errors.Is(err, ErrSource) {
		t.Errorf("half a tarball: %v", err)
	}
}

// A tarball that unpacks to more than any package is refused while it is read.
func TestBomb(t *testing.T) {
	defer func(n int64) { maxStream = n }(maxStream)
	maxStream = 1 << 20
	p, tarball := packageOf(t, file{"package/zeros.bin", strings.Repeat("\x00", 2<<20)}, file{"package/LICENSE", standardText(t, "MIT")})
	if _, err := newReader(t).NPM(t.Context(), p, at(tarball)); !errors.Is(err, ErrSource) || !strings.Contains(err.Error(), "bytes unpacked") {
		t.Errorf("got %v", err)
	}
}
