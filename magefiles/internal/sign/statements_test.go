package sign

import (
	"errors"
	"os"
	"testing"

	"palisade/attestations/artifact"
)

// A tool that comes with a component is not what is audited.
func TestResultOfTool(t *testing.T) {
	dir, r := built(t, "bell"), record("bell")
	r.Binaries = append(r.Binaries, artifact.Binary{Name: "bellctl", Digest: digestOf("bellctl")})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]error{"bell": nil, "bellctl": ErrMismatch} {
		of := r
		of.Component = name
		write(t, dir, r.Name+".test-result.json", resultOf(t, of, digestOf(name), r.Digest))
		if _, err := (&release{dir: dir, root: root}).result(r); !errors.Is(err, want) {
			t.Errorf("of %s: %v, want %v", name, err, want)
		}
	}
}
