package vsa_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/rebuild"
	"palisade/attestations/signing"
	"palisade/attestations/vsa"
)

var update = flag.Bool("update", false, "write what was seen into the document")

const verifier = "https://palisade.example/verifiers/workstation/v1"

var archive, policyFile = artifact.DigestBytes([]byte("archive")), artifact.DigestBytes([]byte("policy"))

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func sample() vsa.Summary {
	return vsa.Summary{
		Verifier: vsa.Verifier{ID: verifier}, Time: time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC),
		ResourceURI: "pkg:generic/palisade?checksum=" + artifact.DigestBytes([]byte("index")).String(),
		Policy:      intoto.Resource{URI: "https://palisade.example/policies/workstation", Digest: intoto.Digests{"sha256": policyFile.Hex()}},
		Inputs:      []intoto.Resource{{Name: "a.tar.gz.sigstore.json", Digest: intoto.Digests{"sha256": artifact.DigestBytes([]byte("bundle")).Hex()}}},
		Result:      vsa.Passed, Levels: []string{vsa.BuildLevel1}, SLSAVersion: vsa.SLSAVersion,
	}
}

func subjects() []intoto.Subject {
	return []intoto.Subject{
		{Name: "release.json", Digest: intoto.Digests{"sha256": artifact.DigestBytes([]byte("index")).Hex()}},
		{Name: "a.tar.gz", Digest: intoto.Digests{"sha256": archive.Hex()}},
	}
}

func statement(t testing.TB) []byte {
	t.Helper()
	return must(intoto.Marshal(must(sample().Statement(subjects()))(t)))(t)
}

// The document ends with a summary in its one form, and tells of every field.
func TestDocument(t *testing.T) {
	file, want := filepath.Join("..", "predicates", "verification-summary.md"), string(statement(t))
	text, got, ok := strings.Cut(string(must(os.ReadFile(file))(t)), "\n```json\n")
	if !ok {
		t.Fatalf("%s has no example", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(text+"\n```json\n"+want+"```\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want+"```\n" {
		t.Errorf("the example of %s is another one; run with -update and look at the change:\n%s", file, want)
	}
	fields := reflect.TypeFor[vsa.Summary]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		if !strings.Contains(text, "\n| `"+name) {
			t.Errorf("%s does not tell of %s", file, name)
		}
	}
	for _, s := range []string{vsa.PredicateType, vsa.BuildLevel1, "`" + vsa.SLSAVersion + "`"} {
		if !strings.Contains(text, s) {
			t.Errorf("%s does not hold %s", file, s)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	back := must(vsa.Parse(must(intoto.Parse(statement(t)))(t)))(t)
	if want := sample(); !reflect.DeepEqual(back, want) {
		t.Errorf("read back:\n%+v\nwant\n%+v", back, want)
	}
}

func TestStatementRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(s *vsa.Summary)
	}{
		{"no verifier", func(s *vsa.Summary) { s.Verifier.ID = "" }},
		{"a verifier that is no URI", func(s *vsa.Summary) { s.Verifier.ID = "me" }},
		{"no resource", func(s *vsa.Summary) { s.ResourceURI = "" }},
		{"no time", func(s *vsa.Summary) { s.Time = time.Time{} }},
		{"a time of another zone", func(s *vsa.Summary) { s.Time = s.Time.In(time.FixedZone("", 3600)) }},
		{"a part of a second", func(s *vsa.Summary) { s.Time = s.Time.Add(1) }},
		{"no policy", func(s *vsa.Summary) { s.Policy = intoto.Resource{} }},
		{"a policy without a digest", func(s *vsa.Summary) { s.Policy.Digest = nil }},
		{"no input", func(s *vsa.Summary) { s.Inputs = nil }},
		{"an input without a digest", func(s *vsa.Summary) { s.Inputs[0] = intoto.Resource{URI: "https://x.example"} }},
		{"failed", func(s *vsa.Summary) { s.Result = "FAILED" }},
		{"no level", func(s *vsa.Summary) { s.Levels = nil }},
		{"a level that SLSA does not have", func(s *vsa.Summary) { s.Levels[0] = "SLSA_BUILD_LEVEL_4" }},
		{"two levels of a track", func(s *vsa.Summary) { s.Levels = append(s.Levels, vsa.BuildLevel2) }},
		{"another version of SLSA", func(s *vsa.Summary) { s.SLSAVersion = "1.0" }},
	} {
		s := sample()
		tt.change(&s)
		if _, err := s.Statement(subjects()); !errors.Is(err, vsa.ErrSummary) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"another type", vsa.PredicateType, "https://slsa.dev/verification_summary/v0.2", vsa.ErrPredicateType},
		{"a field that is missing", `    "slsaVersion": "1.1",` + "\n", "", vsa.ErrSummary},
		{"a field that is empty", `"1.1"`, `""`, vsa.ErrSummary},
		{"a field that is not known", `    "slsaVersion": "1.1",`, `    "slsaVersion": "1.1", "trust": "me",`, vsa.ErrSummary},
		{"a field of another kind", `"1.1"`, `1.1`, vsa.ErrSummary},
		{"an order of keys of its own", `"slsaVersion": "1.1",` + "\n" + `    "timeVerified": "2026-11-22T08:30:00Z",`, `"timeVerified": "2026-11-22T08:30:00Z", "slsaVersion": "1.1",`, vsa.ErrSummary},
		{"a time of another form", "08:30:00Z", "08:30:00.0Z", vsa.ErrSummary},
		{"a time of another zone", "08:30:00Z", "08:30:00+00:00", vsa.ErrSummary},
		{"failed", vsa.Passed, "FAILED", vsa.ErrSummary},
		{"a level that is none", vsa.BuildLevel1, "PALISADE_FINE", vsa.ErrSummary},
	} {
		data := string(statement(t))
		if !strings.Contains(data, tt.old) {
			t.Fatalf("%s: nothing to replace", tt.name)
		}
		st := must(intoto.Parse([]byte(strings.Replace(data, tt.old, tt.new, 1))))(t)
		if _, err := vsa.Parse(st); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Each step of the specification refuses by itself.
func TestOpen(t *testing.T) {
	key, other := newKey(t), newKey(t)
	signed := func(by crypto.Signer, payload []byte) []byte {
		return must(must(signing.WithKey(signing.Local(by)))(t).Sign(context.Background(), signing.Statement(payload)))(t)
	}
	spdx := must(intoto.Marshal(intoto.Statement{Type: intoto.Type, PredicateType: "https://spdx.dev/Document", Subject: subjects(), Predicate: []byte("{}")}))(t)
	for _, tt := range []struct {
		name   string
		data   []byte
		change func(w *vsa.Want)
		want   error
	}{
		{"as it is", signed(key, statement(t)), func(*vsa.Want) {}, nil},
		{"a lower level is enough", signed(key, statement(t)), func(w *vsa.Want) { w.Level = vsa.BuildLevel0 }, nil},
		{"another key", signed(other, statement(t)), func(*vsa.Want) {}, bundle.ErrWrongKey},
		{"nobody trusted", signed(key, statement(t)), func(w *vsa.Want) { w.Trust.Keys = nil }, bundle.ErrTrust},
		{"no statement", signed(key, []byte("{}")), func(*vsa.Want) {}, intoto.ErrStatement},
		{"another statement", signed(key, spdx), func(*vsa.Want) {}, vsa.ErrPredicateType},
		{"another artifact", signed(key, statement(t)), func(w *vsa.Want) { w.Subject = policyFile }, vsa.ErrSubject},
		{"no artifact", signed(key, statement(t)), func(w *vsa.Want) { w.Subject = artifact.Digest{} }, vsa.ErrSubject},
		{"another verifier", signed(key, statement(t)), func(w *vsa.Want) { w.Verifier += "0" }, vsa.ErrVerifier},
		{"another resource", signed(key, statement(t)), func(w *vsa.Want) { w.ResourceURI += "0" }, vsa.ErrResource},
		{"another policy", signed(key, statement(t)), func(w *vsa.Want) { w.Policy = archive }, vsa.ErrPolicy},
		{"no policy", signed(key, statement(t)), func(w *vsa.Want) { w.Policy = artifact.Digest{} }, vsa.ErrPolicy},
		{"a higher level", signed(key, statement(t)), func(w *vsa.Want) { w.Level = vsa.BuildLevel2 }, vsa.ErrLevel},
		{"no level", signed(key, statement(t)), func(w *vsa.Want) { w.Level = "" }, vsa.ErrLevel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := vsa.Want{
				Trust: bundle.Trust{Keys: []crypto.PublicKey{key.Public()}}, Verifier: verifier, Subject: archive,
				ResourceURI: sample().ResourceURI, Policy: policyFile, Level: vsa.BuildLevel1,
			}
			tt.change(&want)
			s, err := vsa.Open(tt.data, want)
			if !errors.Is(err, tt.want) || (err != nil) != reflect.DeepEqual(s, vsa.Summary{}) {
				t.Errorf("%+v, %v, want %v", s, err, tt.want)
			}
		})
	}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

// What is read can be written again, and says the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(must(sample().Statement(subjects()))(f).Predicate))
	f.Add([]byte(`{"timeVerified":"2026-11-22T08:30:00Z","verifiedLevels":[]}`))
	f.Fuzz(func(t *testing.T, predicate []byte) {
		s, err := vsa.Parse(intoto.Statement{Type: intoto.Type, PredicateType: vsa.PredicateType, Subject: subjects(), Predicate: predicate})
		if err != nil {
			if !errors.Is(err, vsa.ErrSummary) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		again := must(vsa.Parse(must(s.Statement(subjects()))(t)))(t)
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%+v was written as %+v", s, again)
		}
	})
}

// A summary of the largest release that there may be, rebuilt by as many as there
// may be, is read back.
func TestLargest(t *testing.T) {
	s := sample()
	one := s.Inputs[0]
	for len(s.Inputs) < (4+rebuild.MaxBundles)*intoto.MaxSubjects {
		s.Inputs = append(s.Inputs, one)
	}
	statement := must(intoto.Parse(must(intoto.Marshal(must(s.Statement(subjects()))(t)))(t)))(t)
	if got, err := vsa.Parse(statement); err != nil || len(got.Inputs) != len(s.Inputs) {
		t.Errorf("%d inputs, %v", len(got.Inputs), err)
	}
	for len(s.Inputs) <= 40*intoto.MaxSubjects {
		s.Inputs = append(s.Inputs, one)
	}
	if _, err := vsa.Parse(must(s.Statement(subjects()))(t)); !errors.Is(err, intoto.ErrTooLarge) {
		t.Errorf("%d inputs: %v", len(s.Inputs), err)
	}
}
