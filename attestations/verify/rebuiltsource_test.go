package verify

import (
	"bytes"
	"crypto"
	"fmt"
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
)

// counting counts the bundles that are opened as a rebuilder's.
type counting struct {
	opener
	n *int
}

func (c counting) rebuild(data []byte) (signed, error) {
	*c.n++
	return c.opener.rebuild(data)
}

// Beside an image in a registry anybody may have put anything: what counts is
// about the index alone, from a provenance of it.
func TestRebuiltSource(t *testing.T) {
	k := newRebuilding(t)
	key = k.release
	w := newImageWorld(t)
	full := newShelf(t, w)
	// wholes are the provenance of the release, which a registry has not, and one of
	// the same image by another run.
	wholes := map[string][]byte{}
	payload := func(t *testing.T, n int, kind string) []byte {
		if of, ok := wholes[kind]; ok {
			return of
		}
		return must(bundle.OpenAttestation(full.bundles[carriers(w.image.rec)[n].digest][kind], bundle.Trust{Keys: []crypto.PublicKey{k.release.Public()}}))(t).Payload()
	}
	// attest attaches to the one what is attested of the other.
	attest := func(t *testing.T, s *shelf, to, of int, kind string, by crypto.Signer, change func(*rebuild.Given)) {
		g := givenBy(t, payload(t, of, kind))
		if change != nil {
			change(&g)
		}
		s.bundles[carriers(w.image.rec)[to].digest]["rebuild "+kind+bundleName(t, by)] = signedBy(t, by, rebuiltFrom(t, g))
	}
	whole := must(intoto.Parse(payload(t, 0, provenanceKind)))(t)
	whole.Subject = provenance.ImageSubjects(w.image.rec)
	wholes["whole"] = must(intoto.Marshal(whole))(t)
	wholes["older"] = bytes.Replace(wholes["whole"], []byte(w.run.InvocationID), []byte("7b6e7f6e-5a1c-4d55-9a37-0c5e1f7f7a17"), 1)
	both := func(t *testing.T, s *shelf) {
		attest(t, s, 0, 0, provenanceKind, k.one, nil)
		attest(t, s, 0, 0, provenanceKind, k.two, nil)
	}
	first := func(more func(*testing.T, *shelf)) func(*testing.T, *shelf) {
		return func(t *testing.T, s *shelf) {
			attest(t, s, 0, 0, provenanceKind, k.one, nil)
			more(t, s)
		}
	}
	then := func(more func(*testing.T, *shelf)) func(*testing.T, *shelf) {
		return func(t *testing.T, s *shelf) {
			both(t, s)
			more(t, s)
		}
	}
	none := []Check{Rebuilt}
	for _, tt := range []struct {
		name   string
		policy []string // two of both, if nil
		after  func(t *testing.T, s *shelf)
		fails  []Check // nil if it passes
		wants  []error
		lines  int
		says   string
	}{
		{name: "nobody", after: func(*testing.T, *shelf) {}, fails: none, wants: []error{policy.ErrRebuilders}},
		{name: "one", after: first(func(*testing.T, *shelf) {}), fails: none, wants: []error{policy.ErrRebuilders}},
		{name: "both", after: both, lines: 1},
		{name: "both, and of a manifest", after: then(func(t *testing.T, s *shelf) { attest(t, s, 1, 1, provenanceKind, k.one, nil) }), lines: 2},
		{name: "both, and of an archive", after: then(func(t *testing.T, s *shelf) { attest(t, s, 1, 1, builtKind, k.one, nil) }), lines: 1},
		{name: "one of the index, and one of the whole", after: first(func(t *testing.T, s *shelf) { attest(t, s, 0, 0, "whole", k.two, nil) }), lines: 1},
		{name: "of the whole, with each digest", after: then(func(t *testing.T, s *shelf) {
			for n := range carriers(w.image.rec) {
				attest(t, s, n, n, "whole", k.one, nil)
			}
		}), lines: 3},
		{name: "one of the index, and he of the whole", after: first(func(t *testing.T, s *shelf) { attest(t, s, 0, 0, "whole", k.one, nil) }), fails: none, wants: []error{policy.ErrRebuilders}},
		{name: "one, and of the whole by an older run", after: first(func(t *testing.T, s *shelf) { attest(t, s, 0, 0, "older", k.two, nil) }), fails: none, wants: []error{policy.ErrRebuilders, ErrRebuild, rebuild.ErrOriginal}},
		{name: "one, and of the whole without the index", after: first(func(t *testing.T, s *shelf) {
			attest(t, s, 0, 0, "whole", k.two, func(g *rebuild.Given) { g.Subject = slices.Delete(slices.Clone(g.Subject), 1, 2) })
		}), fails: none, wants: []error{policy.ErrRebuilders, rebuild.ErrSubject}},
		{name: "one, and of another image", after: first(func(t *testing.T, s *shelf) {
			attest(t, s, 0, 0, provenanceKind, k.two, func(g *rebuild.Given) { another(g, g.Subject[0].Digest) })
		}), fails: none, wants: []error{policy.ErrRebuilders, ErrRebuild, rebuild.ErrSubject}},
		{name: "one, and of a manifest", after: first(func(t *testing.T, s *shelf) { attest(t, s, 0, 1, provenanceKind, k.two, nil) }), fails: none, wants: []error{policy.ErrRebuilders, rebuild.ErrOriginal}},
		{name: "one, and with a manifest alone", after: first(func(t *testing.T, s *shelf) { attest(t, s, 1, 1, provenanceKind, k.two, nil) }), fails: none, wants: []error{policy.ErrRebuilders}},
		{name: "one, and less was compared", after: first(func(t *testing.T, s *shelf) {
			attest(t, s, 0, 0, provenanceKind, k.two, func(g *rebuild.Given) {
				g.Compare = slices.DeleteFunc(g.Compare, func(s intoto.Subject) bool { return strings.HasSuffix(s.Name, spdxSuffix) })
			})
		}), fails: none, wants: []error{policy.ErrRebuilders, rebuild.ErrCompared}},
		{name: "from another provenance", after: first(func(t *testing.T, s *shelf) {
			attest(t, s, 0, 0, provenanceKind, k.two, func(g *rebuild.Given) { g.Original.Provenance = artifact.DigestBytes([]byte("x")) })
		}), fails: none, wants: []error{policy.ErrRebuilders, rebuild.ErrOriginal}},
		{name: "malformed", after: first(func(t *testing.T, s *shelf) {
			statement := rebuiltFrom(t, givenBy(t, payload(t, 0, provenanceKind)))
			statement.Predicate = bytes.Replace(statement.Predicate, []byte("0077"), nil, 1)
			s.bundles[s.index]["malformed"] = signedBy(t, k.two, statement)
		}), fails: none, wants: []error{policy.ErrRebuilders, rebuild.ErrRebuild}},
		{name: "who signed, and is not named", after: first(func(t *testing.T, s *shelf) { attest(t, s, 0, 0, provenanceKind, k.release, nil) }), fails: none, wants: []error{policy.ErrRebuilders}},
		{name: "who signed, and is named", policy: demanding(t, 2, k.one, k.release), after: first(func(t *testing.T, s *shelf) { attest(t, s, 0, 0, provenanceKind, k.release, nil) }), lines: 1},
		// What is genuine elsewhere anybody can attach here.
		{name: "both, and what they attest of an older run", after: then(func(t *testing.T, s *shelf) {
			for n := range carriers(w.image.rec) {
				attest(t, s, n, n, "older", k.one, nil)
				attest(t, s, n, n, "older", k.two, nil)
			}
		}), lines: 1, says: "2 bundles of others passed over"},
		{name: "both, and of another manifest", after: then(func(t *testing.T, s *shelf) { attest(t, s, 1, 2, provenanceKind, k.one, nil) }), lines: 1},
		{name: "both, and one of them a hundred times", after: then(func(t *testing.T, s *shelf) {
			of := s.bundles[s.index]
			for i := range 100 {
				of[fmt.Sprintf("again %d", i)] = of["rebuild "+provenanceKind+bundleName(t, k.one)]
			}
		}), lines: 1},
		{name: "one, a hundred times", after: first(func(t *testing.T, s *shelf) {
			of := s.bundles[s.index]
			for i := range 100 {
				of[fmt.Sprintf("again %d", i)] = append(bytes.Clone(of["rebuild "+provenanceKind+bundleName(t, k.one)]), bytes.Repeat([]byte(" "), i)...)
			}
		}), fails: none, wants: []error{policy.ErrRebuilders}},
		{name: "both, and strangers", after: then(func(t *testing.T, s *shelf) {
			for i := range 50 {
				s.bundles[s.index][fmt.Sprintf("junk %d", i)] = fmt.Appendf(nil, "%d", i)
			}
			attest(t, s, 0, 0, provenanceKind, newKey(t), nil)
			s.bundles[s.index]["large"] = bytes.Repeat([]byte(" "), maxRebuild+1)
		}), lines: 1, says: "52 bundles of others passed over"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := full.copy()
			tt.after(t, s)
			demands := tt.policy
			if demands == nil {
				demands = demanding(t, 2, k.one, k.two)
			}
			report, err := Image(t.Context(), reference, s, testPolicy(t, demands...), k.trust())
			if tt.fails != nil {
				refused(t, report, err, tt.fails, tt.wants)
				return
			}
			n, told := 0, false
			for _, l := range report.Lines {
				if l.Number == Rebuilt && l.Status == Pass {
					n++
					told = told || strings.Contains(l.Detail, tt.says)
				}
			}
			if err != nil || n != tt.lines || !told {
				t.Errorf("%d lines, %v, %+v", n, err, report.Lines)
			}
			// A summary tells of those that count.
			counted := 0
			for _, in := range report.inputs {
				for _, of := range s.bundles {
					for kind, data := range of {
						if strings.HasPrefix(kind, "rebuild ") && in.Digest["sha256"] == artifact.DigestBytes(data).Hex() {
							counted++
							if strings.HasPrefix(kind, "rebuild older") {
								t.Errorf("a summary tells of %s", kind)
							}
						}
					}
				}
			}
			if counted < 2 {
				t.Errorf("a summary tells of %d", counted)
			}
		})
	}
	// What is older than the policy allows does not count.
	old := full.copy()
	attest(t, old, 0, 0, provenanceKind, k.one, nil)
	p := testPolicy(t, append(demanding(t, 1, k.one), "timestamp: not-required", "timestamp: required", "maximum-age: unlimited", "maximum-age: 720h")...)
	real := bundles{bundle.Trust{Keys: []crypto.PublicKey{k.release.Public()}}, bundle.Trust{Keys: []crypto.PublicKey{k.one.Public()}}}
	if report, err := imageWith(t.Context(), reference, old, p, aging{opener: real}, Trust{Now: now}); err != nil {
		t.Errorf("%v, %+v", err, report.Lines)
	}
	report, err := imageWith(t.Context(), reference, old, p, aging{real, rebuild.PredicateType, now.Add(-721 * time.Hour)}, Trust{Now: now})
	refused(t, report, err, []Check{Rebuilt}, []error{policy.ErrRebuilders, policy.ErrTooOld})
	// What is attached many times is opened once.
	again := full.copy()
	attest(t, again, 0, 0, provenanceKind, k.one, nil)
	for i := range 100 {
		again.bundles[again.index][fmt.Sprintf("again %d", i)] = again.bundles[again.index]["rebuild "+provenanceKind+bundleName(t, k.one)]
	}
	n := 0
	if _, err := imageWith(t.Context(), reference, again, testPolicy(t, demanding(t, 1, k.one)...), counting{real, &n}, Trust{Now: now}); err != nil || n > 20 {
		t.Errorf("%d bundles were opened: %v", n, err)
	}
	// Whoever demands none is told that others are there, and no more.
	s := full.copy()
	attest(t, s, 0, 0, provenanceKind, k.one, nil)
	if report, err := Image(t.Context(), reference, s, testPolicy(t), k.trust()); err != nil || slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == Rebuilt }) {
		t.Errorf("not demanded: %v, %+v", err, report.Lines)
	}
}
