package command

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
)

// status is what the targets make of an error: 1 where it names none.
func status(err error) int {
	if s := (interface{ Status() int })(nil); errors.As(err, &s) {
		return s.Status()
	}
	return 1
}

func TestOutcome(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("choosing: %w: no such thing", config.ErrUsage), 2},
		{failure{ErrNotReproducible, statusRefused}, 3},
		{fs.ErrNotExist, 1},
	} {
		got := outcome(tt.err)
		if status(got) != tt.want || !errors.Is(got, tt.err) || got.Error() != tt.err.Error() {
			t.Errorf("%v: got %v with status %d, want %d", tt.err, got, status(got), tt.want)
		}
	}
	if err := outcome(nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
}

// Wrong usage is found before the directory of results is made, and before a
// key is.
func TestUsageStartsNothing(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	dir := t.TempDir()
	t.Setenv("PALISADE_CACHE", filepath.Join(dir, "cache"))
	t.Setenv("PALISADE_DIST", filepath.Join(dir, "dist"))
	t.Setenv("GOSUMDB", "")
	t.Setenv("PALISADE_KEY", "")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	for name, do := range map[string]func() error{
		"component": func() error {
			return Build(t.Context(), BuildRequest{Selection: Selection{Component: "promethus"}, Sign: true})
		},
		"platform": func() error {
			return Build(t.Context(), BuildRequest{Selection: Selection{Platform: "linux"}, Hermetic: true, Sign: true})
		},
		"variant": func() error { return Reproducible(t.Context(), Selection{Variant: "fast"}) },
		"image":   func() error { return Image(t.Context(), Selection{Component: "promethus"}, false, true) },
		"lock":    func() error { return Lock(t.Context(), "promethus") },
		"bench":   func() error { return Bench(t.Context(), "promethus") },
		"sbom":    func() error { return SBOM(t.Context(), SBOMRequest{Selection: Selection{Variant: "fast"}}) },
		"format":  func() error { return SBOM(t.Context(), SBOMRequest{Format: "html"}) },
		"diff":    func() error { return DiffImage(t.Context(), "a", "b", "html") },
	} {
		if err := do(); status(err) != 2 || !strings.Contains(err.Error(), "; there are: ") {
			t.Errorf("%s: got %v with status %d", name, err, status(err))
		}
		if _, err := os.Stat(filepath.Join(dir, "dist")); err == nil {
			t.Errorf("%s: it made the directory of results", name)
		}
		if _, err := os.Stat(filepath.Join(dir, "config")); err == nil {
			t.Errorf("%s: it made a key", name)
		}
	}
}

// What is secret is not the tests' to know.
func TestTestEnvironment(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\nenv >> "+dir+"/seen\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("GOSUMDB", "")
	t.Setenv("COSIGN_PASSWORD", "hush")
	if err := Test(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil || !bytes.Contains(seen, []byte("PATH=")) || bytes.Contains(seen, []byte("hush")) {
		t.Errorf("%v: it sees %s", err, seen)
	}
}

// said runs do and returns what it printed as a result.
func said(t *testing.T, do func() error) (string, error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdout := os.Stdout
	os.Stdout = f
	defer func() { os.Stdout = stdout }()
	result := do()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), result
}

func TestReport(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	records := results(
		[]artifact.Record{{Name: "a.bin", Digest: artifact.DigestBytes([]byte("a"))}},
		[]artifact.Image{{Name: "b.bin", Digest: artifact.DigestBytes([]byte("b"))}},
	)
	for _, dir := range []string{here, there} {
		for _, name := range []string{"a", "b"} {
			if err := os.WriteFile(filepath.Join(dir, name+".bin"), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass := fmt.Sprintf("PASS a.bin %s\n", records[0].Digest)
	text, err := said(t, func() error { return report(records, here, there) })
	if want := pass + fmt.Sprintf("PASS b.bin %s\n", records[1].Digest); err != nil || text != want {
		t.Errorf("equal: %v\n%s", err, text)
	}
	if err := os.WriteFile(filepath.Join(there, "b.bin"), []byte("B"), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err = said(t, func() error { return report(records, here, there) })
	if !errors.Is(err, ErrNotReproducible) || status(err) != 3 || !strings.HasPrefix(text, pass+"FAIL b.bin ") || !strings.Contains(text, "\n  b.bin") {
		t.Errorf("one differs: %v with status %d\n%s", err, status(err), text)
	}
	if err := os.Remove(filepath.Join(there, "a.bin")); err != nil {
		t.Fatal(err)
	}
	if text, err = said(t, func() error { return report(records, here, there) }); status(err) != 3 || !strings.HasPrefix(text, "FAIL a.bin ") {
		t.Errorf("one is missing: %v\n%s", err, text)
	}
}

func TestWriteLock(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "patched.sum"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := writeLock(dir, map[string][]byte{"go.mod": []byte("m"), "go.sum": []byte("s"), "patched.sum": nil}); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 || filepath.Base(names[0]) != "go.mod" {
		t.Errorf("got %q, %v", names, err)
	}
}
