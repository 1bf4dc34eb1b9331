package verify

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
	"palisade/attestations/signing"
)

// Two whom the policies here name as rebuilders, and who signs the release.
type rebuilding struct{ release, one, two crypto.Signer }

func newRebuilding(t *testing.T) rebuilding {
	return rebuilding{newKey(t), newKey(t), newKey(t)}
}

func (r rebuilding) trust() Trust {
	return Trust{Keys: []crypto.PublicKey{r.release.Public()}, Now: now}
}

// demanding is what to replace in testPolicy's text so that it wants that many
// of those whose keys these are.
func demanding(t testing.TB, count int, keys ...crypto.Signer) []string {
	t.Helper()
	text := fmt.Sprintf("rebuilders:\n  count: %d\n  keys:\n", count)
	for _, k := range keys {
		public := must(signing.MarshalPublicKey(k.Public()))(t)
		text += "    - |\n      " + strings.ReplaceAll(strings.TrimSpace(string(public)), "\n", "\n      ") + "\n"
	}
	return []string{"rebuilders: not-required\n", text + "  identities: none\n"}
}

// givenBy is what a provenance gives to build again, as it was signed.
func givenBy(t testing.TB, payload []byte) rebuild.Given {
	t.Helper()
	s, d := must(intoto.Parse(payload))(t), artifact.DigestBytes(payload)
	if p, err := provenance.ParseImage(s); err == nil {
		return must(rebuild.Image(p, d))(t)
	}
	return must(rebuild.Artifact(must(provenance.Parse(s))(t), d))(t)
}

// rebuiltFrom is an attestation that all of it came out the same.
func rebuiltFrom(t testing.TB, g rebuild.Given) intoto.Statement {
	t.Helper()
	run := rebuild.Run{
		Rebuilder: newWorld(t, nil).builder, Rebuilt: map[string]artifact.Digest{}, Varied: []rebuild.Variation{{Name: "umask", Value: "0077"}},
		Metadata: provenance.Metadata{InvocationID: "x", StartedOn: now.Add(-time.Hour), FinishedOn: now},
	}
	for _, s := range g.Compare {
		run.Rebuilt[s.Name] = must(artifact.ParseDigest("sha256:" + s.Digest["sha256"]))(t)
	}
	return must(rebuild.Statement(g, run))(t)
}

func signedBy(t testing.TB, key crypto.Signer, s intoto.Statement) []byte {
	t.Helper()
	return withKey(key)(t, signing.Statement(must(intoto.Marshal(s))(t)), "")
}

func bundleName(t testing.TB, key crypto.Signer) string {
	t.Helper()
	return must(rebuild.BundleName(bundle.Signer{KeyID: must(bundle.KeyID(key.Public()))(t)}))(t)
}

// rebuildOf puts what somebody attests of that file beside it.
func rebuildOf(t testing.TB, dir, name string, by crypto.Signer, change func(g *rebuild.Given)) {
	t.Helper()
	g := givenBy(t, must(os.ReadFile(filepath.Join(dir, name+provenanceSuffix)))(t))
	if change != nil {
		change(&g)
	}
	file := filepath.Join(dir, artifact.RebuildsDir(name), bundleName(t, by))
	if err := writeTestFile(file, string(signedBy(t, by, rebuiltFrom(t, g)))); err != nil {
		t.Fatal(err)
	}
}

// another gives everything of that digest another one.
func another(g *rebuild.Given, of intoto.Digests) {
	was := of["sha256"]
	for _, list := range [][]intoto.Subject{g.Subject, g.Compare} {
		for i := range list {
			if list[i].Digest["sha256"] == was {
				list[i].Digest = subjectOf("", artifact.DigestBytes([]byte("another"))).Digest
			}
		}
	}
}

func TestRebuilt(t *testing.T) {
	k := newRebuilding(t)
	stranger := newKey(t)
	folder := artifact.RebuildsDir(hardened)
	both := func(t *testing.T, dir string) {
		rebuildOf(t, dir, hardened, k.one, nil)
		rebuildOf(t, dir, hardened, k.two, nil)
	}
	// second is what the second rebuilder says instead of what he should.
	second := func(change func(g *rebuild.Given)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			rebuildOf(t, dir, hardened, k.one, nil)
			rebuildOf(t, dir, hardened, k.two, change)
		}
	}
	stating := func(change func(s *intoto.Statement)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			both(t, dir)
			s := rebuiltFrom(t, givenBy(t, must(os.ReadFile(filepath.Join(dir, hardened+provenanceSuffix)))(t)))
			change(&s)
			put(t, dir, path.Join(folder, bundleName(t, k.two)), signedBy(t, k.two, s))
		}
	}
	then := func(more func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			both(t, dir)
			more(t, dir)
		}
	}
	files, rebuilt := []Check{Files, Rebuilt}, []Check{Rebuilt}
	for _, tt := range []struct {
		name   string
		policy []string // two of both, if nil
		after  func(t *testing.T, dir string)
		fails  []Check // nil if it passes
		wants  []error
		says   string
	}{
		{name: "both", after: both},
		{name: "nobody", after: func(*testing.T, string) {}, fails: rebuilt, wants: []error{policy.ErrRebuilders}},
		{name: "one", after: then(func(t *testing.T, dir string) { remove(path.Join(folder, bundleName(t, k.two)))(t, dir) }), fails: rebuilt, wants: []error{policy.ErrRebuilders}},
		{name: "one under two names", after: func(t *testing.T, dir string) {
			rebuildOf(t, dir, hardened, k.one, nil)
			copyTo(path.Join(folder, bundleName(t, k.one)), path.Join(folder, bundleName(t, k.two)))(t, dir)
		}, fails: rebuilt, wants: []error{policy.ErrRebuilders}},
		{name: "who signed the release, and is not named", after: func(t *testing.T, dir string) {
			rebuildOf(t, dir, hardened, k.one, nil)
			rebuildOf(t, dir, hardened, k.release, nil)
		}, fails: rebuilt, wants: []error{policy.ErrRebuilders, bundle.ErrWrongKey}},
		{name: "who signed the release, and is named", policy: demanding(t, 2, k.one, k.release), after: func(t *testing.T, dir string) {
			rebuildOf(t, dir, hardened, k.one, nil)
			rebuildOf(t, dir, hardened, k.release, nil)
		}},
		{name: "a stranger beside", after: then(func(t *testing.T, dir string) { rebuildOf(t, dir, hardened, stranger, nil) }), says: "1 bundles of others passed over"},
		{name: "a stranger beside, with lies", after: then(func(t *testing.T, dir string) {
			rebuildOf(t, dir, hardened, stranger, func(g *rebuild.Given) { another(g, g.Subject[0].Digest) })
		}), says: "1 bundles of others passed over"},
		{name: "a stranger under the name of one", after: then(func(t *testing.T, dir string) {
			rebuildOf(t, dir, hardened, stranger, nil)
			copyTo(path.Join(folder, bundleName(t, stranger)), path.Join(folder, bundleName(t, k.two)))(t, dir)
		}), fails: rebuilt, wants: []error{policy.ErrRebuilders, bundle.ErrWrongKey}},
		{name: "a signature that is none", after: then(func(t *testing.T, dir string) {
			edit(path.Join(folder, bundleName(t, k.two)), func(b map[string]any) {
				e := envelope(b)
				p := e["payload"].(string)
				e["payload"] = p[:400] + string(rune('A'+(p[400]+1)%26)) + p[401:]
			})(t, dir)
		}), fails: rebuilt, wants: []error{policy.ErrRebuilders, bundle.ErrSignature}},
		{name: "of another provenance", after: second(func(g *rebuild.Given) { g.Original.Provenance = artifact.DigestBytes([]byte("another")) }), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrOriginal}},
		{name: "of another builder", after: second(func(g *rebuild.Given) { g.Original.Builder = workflow }), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrOriginal}},
		{name: "of another archive", after: second(func(g *rebuild.Given) { another(g, g.Subject[0].Digest) }), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrSubject}},
		{name: "of the archive alone", after: second(func(g *rebuild.Given) { g.Subject = g.Subject[:1] }), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrSubject}},
		{name: "without the bill of materials", after: second(func(g *rebuild.Given) {
			g.Compare = slices.DeleteFunc(g.Compare, func(s intoto.Subject) bool { return strings.HasSuffix(s.Name, spdxSuffix) })
		}), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrCompared}},
		{name: "of another artifact", after: func(t *testing.T, dir string) {
			both(t, dir)
			other := newWorld(t, k.release, "vanilla").write(t)
			rebuildOf(t, other, vanilla, k.two, nil)
			put(t, dir, path.Join(folder, bundleName(t, k.two)), must(os.ReadFile(filepath.Join(other, artifact.RebuildsDir(vanilla), bundleName(t, k.two))))(t))
		}, fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrOriginal}},
		{name: "of another type", after: stating(func(s *intoto.Statement) { s.PredicateType = intoto.TestResult }), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrPredicateType}},
		{name: "malformed", after: stating(func(s *intoto.Statement) { s.Predicate = bytes.Replace(s.Predicate, []byte("0077"), []byte(""), 1) }), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrRebuild}},
		{name: "a statement with a key twice", after: stating(func(s *intoto.Statement) {
			s.Predicate = bytes.Replace(s.Predicate, []byte(`"notVaried": [],`), []byte(`"verdict": "equal", "notVaried": [],`), 1)
		}), fails: rebuilt, wants: []error{ErrRebuild, rebuild.ErrRebuild}},
		{name: "a file of another name in the folder", after: then(func(t *testing.T, dir string) { put(t, dir, folder+"/README", nil) }), fails: files, wants: []error{ErrUnlisted}},
		{name: "a folder in the folder", after: then(func(t *testing.T, dir string) { put(t, dir, folder+"/0001020304050607.sigstore.json/x", nil) }), fails: files, wants: []error{ErrNotFile}},
		{name: "a link in the folder", after: then(func(t *testing.T, dir string) {
			if err := os.Symlink(bundleName(t, k.one), filepath.Join(dir, folder, "0001020304050607.sigstore.json")); err != nil {
				t.Fatal(err)
			}
		}), fails: files, wants: []error{ErrNotFile}},
		{name: "a link in place of the folder", after: then(func(t *testing.T, dir string) {
			at := filepath.Join(dir, folder)
			if err := errors.Join(os.Rename(at, at+".x"), os.Symlink(filepath.Base(at)+".x", at)); err != nil {
				t.Fatal(err)
			}
		}), fails: files, wants: []error{ErrNotFile}},
		{name: "a file in place of the folder", after: func(t *testing.T, dir string) { put(t, dir, folder, nil) }, fails: files, wants: []error{ErrNotFile}},
		{name: "more bundles than there may be", after: then(func(t *testing.T, dir string) {
			for n := range rebuild.MaxBundles - 1 {
				put(t, dir, fmt.Sprintf("%s/%016x.sigstore.json", folder, n), nil)
			}
		}), fails: files, wants: []error{ErrTooLarge}},
		{name: "as many bundles as there may be", after: then(func(t *testing.T, dir string) {
			for n := range rebuild.MaxBundles - 2 {
				put(t, dir, fmt.Sprintf("%s/%016x.sigstore.json", folder, n), nil)
			}
		}), says: "30 bundles of others passed over"},
		{name: "a bundle of 1 GiB", after: then(func(t *testing.T, dir string) { huge(path.Join(folder, bundleName(t, k.two)))(t, dir) }), fails: rebuilt, wants: []error{ErrTooLarge}},
		{name: "the folder of what is not there", after: then(func(t *testing.T, dir string) {
			copyTo(path.Join(folder, bundleName(t, k.one)), path.Join(artifact.RebuildsDir("x.tar.gz"), bundleName(t, k.one)))(t, dir)
		}), fails: []Check{Files}, wants: []error{ErrUnlisted}},
		{name: "an artifact that nothing is said of", after: then(flip(hardened)), fails: []Check{Digest}, wants: []error{ErrDigest}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := newWorld(t, k.release, "hardened").write(t)
			tt.after(t, dir)
			demands := tt.policy
			if demands == nil {
				demands = demanding(t, 2, k.one, k.two)
			}
			report, err := Release(t.Context(), dir, testPolicy(t, demands...), k.trust())
			if tt.fails != nil {
				refused(t, report, err, tt.fails, tt.wants)
				return
			}
			if err != nil || !slices.ContainsFunc(report.Lines, func(l Line) bool {
				return l.Number == Rebuilt && l.Status == Pass && strings.Contains(l.Detail, tt.says)
			}) {
				t.Errorf("%+v, %v", report.Lines, err)
			}
		})
	}
}
