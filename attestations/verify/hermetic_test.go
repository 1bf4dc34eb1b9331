package verify

import (
	"crypto"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
)

// elsewhere has the compiler have run on a worker.
func elsewhere(_ *testing.T, w *world) {
	for _, m := range w.artifacts {
		m.rec.Build.Sandbox = artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "h5qu58hae9j4x031ziygpl3qa"}
	}
}

// What a worker promises is accepted where the policy says so, and is told.
func TestPromised(t *testing.T) {
	key := newKey(t)
	w := newWorld(t, key, "hardened", "vanilla")
	elsewhere(t, w)
	dir := w.write(t)
	report, err := Release(t.Context(), dir, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{Policy}, []error{policy.ErrHermetic})
	for _, says := range []string{`the promise of "a worker of buildkit"`, "accept that with hermetic: promised"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("it does not say %q: %v", says, err)
		}
	}
	for _, word := range []string{"promised", "not-required"} {
		report, err = Release(t.Context(), dir, testPolicy(t, "hermetic: required", "hermetic: "+word), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, l := range report.Lines {
			if l.Number == Policy && strings.HasSuffix(l.Detail, "the promise of a worker of buildkit") {
				told++
			}
		}
		if told != 2 {
			t.Errorf("%s: it is told of %d artifacts: %+v", word, told, report.Lines)
		}
	}
}

// So it is of an image, of which the archives need not be there.
func TestPromisedImage(t *testing.T) {
	key = newKey(t)
	w := newImageWorld(t)
	elsewhere(t, w)
	w.image.finish(t, w)
	file := filepath.Join(w.write(t), imageName)
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	report, err := File(t.Context(), file, testPolicy(t), trust)
	refused(t, report, err, []Check{Policy}, []error{policy.ErrHermetic})
	for name, do := range map[string]func(policy.Policy) (Report, error){
		"a file":        func(p policy.Policy) (Report, error) { return File(t.Context(), file, p, trust) },
		"in a registry": func(p policy.Policy) (Report, error) { return Image(t.Context(), reference, newShelf(t, w), p, trust) },
	} {
		report, err := do(testPolicy(t, "hermetic: required", "hermetic: promised"))
		if err != nil || !slices.ContainsFunc(report.Lines, func(l Line) bool {
			return l.Number == Policy && strings.HasSuffix(l.Detail, "the promise of a worker of buildkit")
		}) {
			t.Errorf("%s: %v, %+v", name, err, report.Lines)
		}
	}
}

// An interface that was built without a sandbox makes a build what it is not.
func TestHermeticity(t *testing.T) {
	seen, promised := provenance.Sandbox{Hermetic: true, Namespaces: []string{"net"}}, provenance.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "w"}
	for _, tt := range []struct {
		hermetic  bool
		cache     provenance.Cache
		sandboxes map[string]provenance.Sandbox
		want      policy.Hermeticity
		by        string
	}{
		{true, provenance.Shared, map[string]provenance.Sandbox{"compiler": seen}, policy.Observed, ""},
		{true, provenance.Fresh, map[string]provenance.Sandbox{"compiler": seen, "interface": seen}, policy.Observed, ""},
		{true, provenance.Shared, map[string]provenance.Sandbox{"compiler": promised, "interface": seen}, policy.Promised, "a worker of buildkit"},
		{true, provenance.Shared, map[string]provenance.Sandbox{"compiler": promised, "interface": {}}, policy.NotHermetic, ""},
		{true, provenance.Shared, map[string]provenance.Sandbox{"compiler": seen, "interface": {}}, policy.NotHermetic, ""},
		{true, provenance.Shared, map[string]provenance.Sandbox{"compiler": {Hermetic: true}}, policy.NotHermetic, ""},
		{true, provenance.Registry, map[string]provenance.Sandbox{"compiler": seen}, policy.Promised, "a cache in a registry"},
		{true, provenance.Registry, map[string]provenance.Sandbox{"compiler": promised}, policy.Promised, "a worker of buildkit"},
		{true, provenance.Registry, map[string]provenance.Sandbox{"compiler": {}}, policy.NotHermetic, ""},
		{false, provenance.Shared, map[string]provenance.Sandbox{"compiler": seen}, policy.NotHermetic, ""},
		{true, provenance.Shared, nil, policy.NotHermetic, ""},
	} {
		how, by := hermeticity(provenance.Internal{Hermetic: tt.hermetic, Cache: tt.cache, Sandboxes: tt.sandboxes})
		if how != tt.want || by != tt.by {
			t.Errorf("%v of %+v, %s: %d by %q, want %d by %q", tt.hermetic, tt.sandboxes, tt.cache, how, by, tt.want, tt.by)
		}
	}
}
