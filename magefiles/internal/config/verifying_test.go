package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Verifying works anywhere: in a checkout, below one, and without.
func TestLoadVerifying(t *testing.T) {
	t.Setenv("PALISADE_KEY", "")
	t.Setenv("PATH", "") // no go command is needed
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(dir, "checkout", "below")
	for _, d := range []string{below, filepath.Join(dir, "checkout", "recipes"), filepath.Join(dir, "elsewhere")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "checkout", "recipes", "distribution.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ at, set, root, want string }{
		{"checkout", "", "checkout", "checkout/dist"},
		{"checkout/below", "", "checkout", "checkout/dist"},
		{"checkout/below", "there", "checkout", "checkout/below/there"},
		{"elsewhere", "", "", "elsewhere/dist"},
		{"elsewhere", "there", "", "elsewhere/there"},
	} {
		t.Chdir(filepath.Join(dir, tt.at))
		t.Setenv("PALISADE_DIST", tt.set)
		v, err := LoadVerifying()
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, tt.want); v.Dist != want {
			t.Errorf("in %s with PALISADE_DIST=%q: %s, want %s", tt.at, tt.set, v.Dist, want)
		}
		if tt.root != "" {
			tt.root = filepath.Join(dir, tt.root)
		}
		if v.Root != tt.root {
			t.Errorf("in %s: the checkout is %q, want %q", tt.at, v.Root, tt.root)
		}
	}
}
