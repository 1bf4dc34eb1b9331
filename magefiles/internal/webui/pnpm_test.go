package webui

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/npm"
)

const lockText = `lockfileVersion: '9.0'
packages:
  name@1.0.0:
    resolution: {integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==}
  elsewhere@1.0.0:
    resolution: {integrity: sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==}
    os: [aix]
`

// pnpmInput is one whose packages are not stored and cannot be had.
func pnpmInput(t *testing.T, lock string) PnpmInput {
	t.Helper()
	source := t.TempDir()
	if err := writeBytes(source, "web/ui/pnpm-lock.yaml", []byte(lock)); err != nil {
		t.Fatal(err)
	}
	return PnpmInput{Input: Input{
		Module:  artifact.Module{Path: "example.org/p", Version: "v1.0.0"},
		Source:  source,
		UI:      "web/ui",
		Host:    artifact.Platform{OS: "linux", Arch: "amd64"},
		NPM:     &npm.Client{Dir: t.TempDir(), Offline: true},
		Scratch: filepath.Join(t.TempDir(), "scratch"),
		Out:     filepath.Join(t.TempDir(), "out"),
		Epoch:   time.Unix(1, 0),
	}}
}

func TestPnpmRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*PnpmInput)
		lock   string
		want   error
	}{
		"package not to be had": {lock: lockText, want: npm.ErrOffline},
		"lock of another kind":  {lock: "lockfileVersion: '6.0'\n", want: npm.ErrLock},
		"no lock":               {lock: lockText, want: os.ErrNotExist, change: func(in *PnpmInput) { in.UI = "web" }},
		"outside the source":    {lock: lockText, change: func(in *PnpmInput) { in.UI = "../../web/ui" }},
		"no such platform":      {lock: lockText, change: func(in *PnpmInput) { in.Host.OS = "plan9" }},
		"filled already": {lock: lockText, change: func(in *PnpmInput) {
			if err := writeBytes(in.Out, "old", nil); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		in := pnpmInput(t, test.lock)
		if test.change != nil {
			test.change(&in)
		}
		_, err := Pnpm(t.Context(), in)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		} else if !strings.Contains(err.Error(), "example.org/p@v1.0.0") {
			t.Errorf("%s: error %q does not name the module", name, err)
		}
		if left, err := os.ReadDir(in.Scratch); len(left) > 0 {
			t.Errorf("%s: left %v in the scratch directory (%v)", name, left, err)
		}
	}
}

func TestLockedForHost(t *testing.T) {
	in := pnpmInput(t, lockText)
	packages, err := lockedFor(in.Input, npm.Host{OS: "linux", CPU: "x64", Libc: "glibc"})
	if err != nil || len(packages) != 1 || packages[0].Name != "name" {
		t.Errorf("got %v, %v; want name alone", packages, err)
	}
}

func TestTranscript(t *testing.T) {
	var log strings.Builder
	tr := &transcript{log: &log}
	for range 1000 {
		if _, err := tr.Write([]byte("a line of output\n")); err != nil {
			t.Fatal(err)
		}
	}
	tail := tr.tail()
	if len(tail) > maxTail || !strings.HasPrefix(tail, "a line of output\n") || !strings.HasSuffix(tail, "output") {
		t.Errorf("tail of %d bytes: %q…", len(tail), tail[:20])
	}
	if log.Len() != 17_000 {
		t.Errorf("passed on %d bytes", log.Len())
	}
}
