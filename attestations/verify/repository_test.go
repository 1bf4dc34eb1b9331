package verify

import (
	"crypto"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/rebuild"
	"palisade/attestations/signing"
)

// Whoever calls the publisher's workflow has its subject. Not one bundle of a release
// is believed of him, whatever it is of.
func TestRepository(t *testing.T) {
	s, release := newStage(t), release
	release.Ref = "refs/tags/v1.1.0" // as the index of releases has it
	another := bundle.Workflow(release)
	another.Repository = "https://ci.palisade.example/evil/palisade"
	real, wrong := s.job(bundle.Workflow(release), release.Signer), s.job(another, release.Signer)
	trust := Trust{Root: s.root, Now: time.Now(), Keys: []crypto.PublicKey{newKey(t).Public()}}

	of := map[string]bool{}
	sound := newImageWorld(t)
	sound.by(&release)
	sound.signer = func(t testing.TB, c signing.Content, name string) []byte {
		of[name] = true
		return real(t, c, name)
	}
	dir := sound.write(t)
	if _, err := Release(t.Context(), dir, releasePolicy(t), trust); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{indexName + bundleSuffix, bundleOf(hardened), bundleOf(hardened + provenanceSuffix), bundleOf(hardened + spdxSuffix), bundleOf(imageName), bundleOf(imageName + provenanceSuffix), ""} {
		if !of[name] {
			t.Fatalf("%q is not signed, but\n%s", name, strings.Join(slices.Sorted(maps.Keys(of)), "\n"))
		}
	}
	for name := range of {
		t.Run("signed for another is "+name, func(t *testing.T) {
			t.Parallel()
			w := newImageWorld(t)
			w.by(&release)
			w.signer = func(t testing.TB, c signing.Content, of string) []byte {
				if of == name {
					return wrong(t, c, of)
				}
				return real(t, c, of)
			}
			if _, err := Release(t.Context(), w.write(t), releasePolicy(t), trust); !errors.Is(err, ErrRefused) || !errors.Is(err, bundle.ErrWrongRepository) {
				t.Errorf("a release: %v", err)
			}
			if _, err := Image(t.Context(), reference, newShelf(t, w), releasePolicy(t), trust); name == "" && !errors.Is(err, ErrRefused) {
				t.Errorf("an image: %v", err)
			}
		})
	}

	t.Run("the index of releases", func(t *testing.T) {
		l := listingOf{w: sound, manifest: artifact.DigestBytes(must(os.ReadFile(filepath.Join(dir, indexName)))(t)), issued: time.Now().Add(-time.Hour)}
		data := must(l.indexes(t)[1].Encode())(t)
		for who, by := range map[string]signer{"ours": real, "another's": wrong} {
			trust := trust
			trust.Fresh = &Freshness{Index: data, Bundle: by(t, must(signing.File(artifact.DigestBytes(data)))(t), "")}
			report, err := Release(t.Context(), dir, releasePolicy(t), trust)
			if who == "ours" && err != nil {
				t.Error(err)
			}
			if who != "ours" {
				refused(t, report, err, []Check{Fresh}, []error{ErrReleases, bundle.ErrWrongRepository})
			}
		}
	})

	t.Run("a rebuilder", func(t *testing.T) {
		identity := "rebuilders: {count: 1, keys: none, identities: [{issuer: " + release.Issuer + ", subject: '" + release.Signer + "', repository: " + release.Repository + "}]}\n"
		file := hardened
		statement := rebuiltFrom(t, givenBy(t, must(os.ReadFile(filepath.Join(dir, file+provenanceSuffix)))(t)))
		name := must(rebuild.BundleName(bundle.Signer{Issuer: release.Issuer, Subject: release.Signer}))(t)
		for who, by := range map[string]signer{"ours": real, "another's": wrong} {
			folder := filepath.Join(dir, artifact.RebuildsDir(file))
			if err := writeTestFile(filepath.Join(folder, name), string(by(t, signing.Statement(must(intoto.Marshal(statement))(t)), ""))); err != nil {
				t.Fatal(err)
			}
			report, err := File(t.Context(), filepath.Join(dir, file), releasePolicy(t, "rebuilders: not-required\n", identity), trust)
			if who == "ours" && err != nil {
				t.Error(err)
			}
			if who != "ours" {
				refused(t, report, err, []Check{Rebuilt}, []error{policy.ErrRebuilders, bundle.ErrWrongRepository})
			}
		}
	})
}
