package pipeline

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/provenance"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/store"
)

// elsewhere has the result of every step.
type elsewhere struct{}

func (elsewhere) Take(_ context.Context, _ store.Key, dir string, accept func(store.Left) error) (bool, error) {
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		return false, err
	}
	err := accept(store.Left{Value: json.RawMessage("1"), Files: []artifact.File{{Name: "f", Mode: "0644", Digest: artifact.DigestBytes(nil)}}})
	return err == nil, err
}

func (elsewhere) Offer(context.Context, store.Key, store.Left, store.Entry) {}

// Provenance says that results of others were taken, from the first on, also
// that of a run which takes none; before, that none were.
func TestAttestTaken(t *testing.T) {
	cfg := edited(t, here(t), "recipes/distribution.yaml", "", "")
	cache := func(p *Pipeline, key string) provenance.Cache {
		t.Helper()
		said, _ := attested(t, p, store.NewKey("test-1", key))
		return said.BuildDefinition.InternalParameters.Cache
	}
	p := openWith(t, cfg)
	p.Share(elsewhere{})
	if got := cache(p, "a"); got != provenance.Shared {
		t.Errorf("before anything was taken: %s", got)
	}
	if _, _, taken, err := store.Shared(t.Context(), p.store, store.NewKey("long-1"), nil, func(context.Context, string) (int, error) { return 2, nil }); err != nil || !taken {
		t.Fatalf("%v, %v", taken, err)
	}
	if got := cache(p, "b"); got != provenance.Registry {
		t.Errorf("after: %s", got)
	}
	if got := cache(openWith(t, cfg), "c"); got != provenance.Registry {
		t.Errorf("the next run: %s", got)
	}
	b, err := p.Builder(t.Context())
	if said, _ := attested(t, p, store.NewKey("test-1", "d")); err != nil || b.ID != said.RunDetails.Builder.ID || b.Sorted().Validate() != nil {
		t.Errorf("%+v, %v", b, err)
	}
}

// Whoever changes the checkout while steps are offered is not told to have built
// with what was there at first.
func TestBuilderOfChanged(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("there is no git command")
	}
	cfg := edited(t, here(t), "recipes/distribution.yaml", "", "")
	cfg.Git = git
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(cfg.Root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module palisade\n")
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-q", "-m", "one"}} {
		cmd := exec.Command(git, append([]string{"-C", cfg.Root, "-c", "user.name=A", "-c", "user.email=a@example.test"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	p := openWith(t, cfg)
	b, err := p.Builder(t.Context())
	if err != nil || len(b.Version[checkout.Module]) != 40 {
		t.Errorf("%+v, %v", b, err)
	}
	write("go.sum", "")
	if b, err = p.Builder(t.Context()); err != nil || b.Version[checkout.Module] != checkout.Develop {
		t.Errorf("after the change: %+v, %v", b, err)
	}
}
