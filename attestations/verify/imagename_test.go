package verify

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/attestations/vsa"
)

// Whoever can move a tag can have it name anything that was ever signed.
func TestCalledBy(t *testing.T) {
	e := provenance.ImageExternal{Component: "beacon", Version: "1.2.0-palisade.1", Variant: "hardened"}
	digest := "@" + artifact.DigestBytes(nil).String()
	for name, want := range map[string]error{
		"registry.example/beacon:1.2.0-palisade.1":          nil,
		"registry.example:5000/a/b/beacon:1.2.0-palisade.1": nil,
		"registry.example/beacon:latest":                    nil,
		"registry.example/beacon:1.2":                       nil,
		"registry.example/beacon:1.2.0-palisade.2":          ErrRecord,
		"registry.example/beacon:1.2.0-palisade.1-1":        ErrRecord,
		"registry.example/beacon:1.2.0-vanilla":             ErrRecord,
		"registry.example/beacon:1.2.0":                     ErrRecord,
		"registry.example/bell:1.2.0-palisade.1":            ErrRecord,
		"registry.example/beacon/bell:latest":               ErrRecord,
		"registry.example/bell" + digest:                    nil,
		"registry.example/bell:1.2.0-vanilla" + digest:      nil,
		"registry.example:5000/bell:1.2.0-palisade.1":       ErrRecord,
		"registry.example/BEACON:latest":                    ErrRecord,
	} {
		if err := calledBy(name).means(e); !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "name it by its digest") {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// An image that passed under its name does not pass under another's, and does by
// its digest.
func TestSourceCalled(t *testing.T) {
	key = newKey(t)
	s := newShelf(t, newImageWorld(t))
	trust := Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}
	for _, name := range []string{"registry.example/beacon:1.3.0-palisade.1", "registry.example/bell:1.2.0-palisade.1"} {
		report, err := Image(t.Context(), name, s, testPolicy(t), trust)
		refused(t, report, err, []Check{Record}, []error{ErrRecord})
	}
	if report, err := Image(t.Context(), "registry.example/bell@"+s.index.String(), s, testPolicy(t), trust); err != nil {
		t.Errorf("by its digest: %v, %+v", err, report.Lines)
	}
}

// Of an image whose index nobody signed not a blob is read.
func TestSourceUnsigned(t *testing.T) {
	key = newKey(t)
	s := newShelf(t, newImageWorld(t))
	delete(s.bundles[s.index], signatureKind)
	report, err := Image(t.Context(), reference, s, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{Signature}, []error{ErrSignature})
	if s.read != 0 {
		t.Errorf("%d blobs were read", s.read)
	}
}

// That what is attached cannot be read, for a reason that tells something, is
// shown as what it is.
func TestSourceUnread(t *testing.T) {
	key = newKey(t)
	why := errors.New("more of it than anybody reads")
	s := newShelf(t, newImageWorld(t))
	s.err = why
	report, err := Image(t.Context(), reference, s, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{Signature}, []error{ErrSignature, why})
	if !slices.ContainsFunc(report.Lines, func(l Line) bool { return strings.Contains(l.Detail, why.Error()) }) {
		t.Errorf("the report does not say why: %+v", report.Lines)
	}
}

// What passed in a registry is summed up for whoever has the image, wherever
// from, the policy's digest and the verifier's key.
func TestSourceSummary(t *testing.T) {
	key = newKey(t)
	mine := newKey(t)
	w := newImageWorld(t)
	s, p := newShelf(t, w), testPolicy(t)
	s.bundles[s.index]["junk"] = []byte("{}")
	report := must(Image(t.Context(), reference, s, p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}))(t)
	st := must(report.Summary(verifierID, "https://palisade.example/policies/test"))(t)
	if want := provenance.ImageSubjects(w.image.rec)[1:]; fmt.Sprint(st.Subject) != fmt.Sprint(want) {
		t.Errorf("it is about %v, want %v", st.Subject, want)
	}
	data := withKey(mine)(t, signing.Statement(must(intoto.Marshal(st))(t)), "")
	for _, d := range []artifact.Digest{s.index, w.image.rec.Platforms[1].Manifest} {
		read, err := vsa.Open(data, vsa.Want{
			Trust: bundle.Trust{Keys: []crypto.PublicKey{mine.Public()}}, Verifier: verifierID,
			Subject: d, ResourceURI: ImageURI("beacon", s.index), Policy: p.Digest(), Level: vsa.BuildLevel1,
		})
		if err != nil || report.Resource() != ImageURI("beacon", s.index) {
			t.Fatalf("%v, of %s", err, report.Resource())
		}
		// Of the index three were believed, of each manifest two more; not the junk.
		if len(read.Inputs) != 3+2*5 {
			t.Errorf("%d inputs: %+v", len(read.Inputs), read.Inputs)
		}
	}
	s.index = w.image.rec.Platforms[0].Manifest
	refusal, err := Image(t.Context(), reference, s, p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, refusal, err, []Check{Members}, []error{ErrImage})
	if st, err := refusal.Summary(verifierID, "https://palisade.example/policies/test"); !errors.Is(err, ErrRefused) {
		t.Errorf("of a refused image: %+v, %v", st, err)
	}
}
