package verify

import (
	"errors"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
)

// An image that did not change keeps what its former audits found: what was signed
// last counts, and of several all, or of any whose time nobody knows.
func TestNewestResult(t *testing.T) {
	w := newWorld(t, newKey(t), "hardened")
	r := w.artifacts[0].rec
	result := func(passed bool, at int) stated {
		w.audited(t, passed)
		s, err := intoto.Parse(w.artifacts[0].result)
		if err != nil {
			t.Fatal(err)
		}
		s.Predicate = ran(t, s.Predicate, r.Component, r.Binaries[0].Digest)
		one := stated{statement: s}
		if at > 0 {
			one.at = time.Unix(int64(at), 0)
		}
		return one
	}
	v := &imageVerifier{policy: testPolicy(t), made: []provenance.Image{{}}}
	v.made[0].BuildDefinition.ExternalParameters.Component, v.made[0].BuildDefinition.ExternalParameters.Variant = r.Component, r.Variant
	byKey := func(one stated) stated { one.by.KeyID = "a key"; return one }
	failed, passed := false, true
	for _, tt := range []struct {
		name string
		all  []stated
		want error
	}{
		{"passed", []stated{result(passed, 1)}, nil},
		{"failed", []stated{result(failed, 1)}, policy.ErrAudit},
		{"failed, and passed since", []stated{result(failed, 1), result(passed, 2)}, nil},
		{"failed, and passed since, the other way round", []stated{result(passed, 2), result(failed, 1)}, nil},
		{"passed, and failed since", []stated{result(passed, 1), result(failed, 2)}, policy.ErrAudit},
		{"both at one time", []stated{result(passed, 2), result(failed, 2), result(passed, 1)}, policy.ErrAudit},
		{"failed, and passed since by a key", []stated{result(failed, 1), byKey(result(passed, 2))}, policy.ErrAudit},
		{"failed by a key, and passed since", []stated{byKey(result(failed, 1)), result(passed, 2)}, policy.ErrAudit},
		{"failed, nobody knows when", []stated{result(failed, 0), result(passed, 2)}, policy.ErrAudit},
		{"failed, and passed nobody knows when", []stated{result(failed, 1), result(passed, 0)}, policy.ErrAudit},
	} {
		_, err := v.tested(statements{all: tt.all}, provenance.Archive{Name: r.Name, Digest: r.Digest}, r.Binaries[0].Digest)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	other := result(passed, 1)
	if _, err := v.tested(statements{all: []stated{other, result(passed, 2)}}, provenance.Archive{Name: r.Name, Digest: artifact.DigestBytes(nil)}, r.Binaries[0].Digest); !errors.Is(err, ErrSubject) {
		t.Errorf("of another archive: %v", err)
	}
}
