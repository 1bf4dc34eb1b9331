//go:build unix

package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

// What a private command creates is its user's alone, in the sandbox and out
// of it; this process keeps its own mask.
func TestPrivate(t *testing.T) {
	for _, deny := range []bool{false, true} {
		out := t.TempDir()
		for name, private := range map[string]bool{"private": true, "usual": false} {
			spec := probe("write", "{root}/out/"+name)
			spec.Mounts = append(spec.Mounts, Mount{Source: out, Target: "/out", Writable: true})
			spec.Deny, spec.Private = deny, private
			if _, _, err := output(t, spec); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			if others := info.Mode().Perm() & 0o077; (others == 0) != private {
				t.Errorf("denied %v: the %s file has the mode %v", deny, name, info.Mode())
			}
		}
	}
	own := filepath.Join(t.TempDir(), "own")
	if err := os.WriteFile(own, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(own); err != nil || info.Mode().Perm() == 0o600 {
		t.Errorf("this process's mask has changed: %v, %v", info, err)
	}
}
