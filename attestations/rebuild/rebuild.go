// Package rebuild makes and reads the attestation that somebody built an
// artifact again, from its provenance alone, and got the same bytes: an in-toto
// Statement about the subjects of that provenance, which says who rebuilt, what
// was compared, and in what the surroundings differed. Of what came out
// different there is none.
//
// The predicate, field by field and with an example, is
// attestations/predicates/rebuild.md.
//
// # Refusals
//
// Statement refuses a rebuild that left something out of what the provenance
// names, or did not say who, where and when (ErrInput), and one that differs in
// a byte (ErrDiffers). Parse refuses another predicate (ErrPredicateType) and
// whatever Statement would not write (ErrRebuild), as package provenance does.
// Check refuses an attestation of another provenance (ErrOriginal), about other
// subjects (ErrSubject), or that compared something else (ErrCompared). Who
// signed it, and whether he is believed, is for others to say.
package rebuild

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// PredicateType is the type of statement that this package reads and writes.
const PredicateType = "https://palisade.example/predicates/rebuild/v1"

// Why something is refused, each its own.
var (
	ErrInput         = errors.New("what was observed does not make a rebuild attestation")
	ErrDiffers       = errors.New("what was rebuilt is not what was released")
	ErrPredicateType = errors.New("it is no rebuild attestation")
	ErrRebuild       = errors.New("malformed rebuild attestation")
	ErrOriginal      = errors.New("it is of another provenance")
	ErrSubject       = errors.New("its subjects are not those of the provenance")
	ErrCompared      = errors.New("it did not compare what the provenance names")
)

// A Rebuild is what Parse read: a predicate and the subjects that it is about.
// Fields are in the order of their keys, in which they are written.
type Rebuild struct {
	Subject   []intoto.Subject    `json:"-"`        // those of the provenance, all of them, in its order
	Compared  []Compared          `json:"compared"` // sorted by name
	Metadata  provenance.Metadata `json:"metadata"`
	NotVaried []Variation         `json:"notVaried"` // sorted by name; empty if everything could be
	Original  Original            `json:"original"`
	Rebuilder provenance.Builder  `json:"rebuilder"`
	Varied    []Variation         `json:"varied"` // sorted by name; one at least
}

// An Original is the provenance that was rebuilt from.
type Original struct {
	Builder    string          `json:"builder"`    // builder.id
	Provenance artifact.Digest `json:"provenance"` // of the statement, byte for byte as it was signed
}

// A Compared is a file, or an image's index or manifest, by its digest in the
// provenance and by what came out. Both are sha256 alone, and equal.
type Compared struct {
	Name     string         `json:"name"`
	Original intoto.Digests `json:"original"`
	Rebuilt  intoto.Digests `json:"rebuilt"`
}

// A Variation is something in which the surroundings of the rebuild were unlike
// those of a build, with its Value; or could not be made so, with the reason
// Why. One of both.
type Variation struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Why   string `json:"why,omitempty"`
}

// A Given is what there is to build again: the provenance that says how, what
// that is about, and all that has to come out. Artifact and Image make one.
type Given struct {
	Original Original
	Subject  []intoto.Subject
	Compare  []intoto.Subject // sorted by name
}

// Artifact is what a verified provenance gives to build again, whose statement
// has that digest as it was signed: the archive, the binaries in it, and their
// documents.
func Artifact(p provenance.Provenance, statement artifact.Digest) (Given, error) {
	return given(p.Subject, p.RunDetails, nil, statement)
}

// Image is likewise what that of an image gives: the file, the index and the
// manifests, or the one of these that p is about; the document; and the archives
// that the image is made of with theirs, which are part of what is built again.
func Image(p provenance.Image, statement artifact.Digest) (Given, error) {
	made := slices.Concat(p.Dependencies(provenance.RoleArchive), p.Dependencies(provenance.RoleDocument))
	return given(p.Subject, p.RunDetails, made, statement)
}

func given(subjects []intoto.Subject, run provenance.RunDetails, made []intoto.Resource, statement artifact.Digest) (Given, error) {
	if statement.IsZero() {
		return Given{}, fmt.Errorf("%w: the digest of the provenance is not known", ErrInput)
	}
	all := slices.Clone(subjects)
	for _, r := range slices.Concat(run.Byproducts, made) {
		all = append(all, intoto.Subject{Name: r.Name, Digest: r.Digest})
	}
	slices.SortFunc(all, func(a, b intoto.Subject) int { return cmp.Compare(a.Name, b.Name) })
	for i, s := range all {
		if i > 0 && all[i-1].Name == s.Name {
			return Given{}, fmt.Errorf("%w: the provenance names %.200q twice", ErrInput, s.Name)
		}
	}
	return Given{Original{run.Builder.ID, statement}, subjects, all}, nil
}

// Check refuses an attestation that is not of what is given, all of it and
// nothing else. r has to come from Parse.
func (r Rebuild) Check(g Given) error {
	if g.Original.Provenance.IsZero() || r.Original != g.Original {
		return fmt.Errorf("%w: of %s by %.200q; here it is %s by %.200q", ErrOriginal,
			r.Original.Provenance, r.Original.Builder, g.Original.Provenance, g.Original.Builder)
	}
	if !slices.EqualFunc(r.Subject, g.Subject, sameSubject) {
		return fmt.Errorf("%w: it is about %d, of which the first is %.200q", ErrSubject, len(r.Subject), first(r.Subject))
	}
	if !slices.EqualFunc(r.Compared, g.Compare, func(c Compared, s intoto.Subject) bool {
		return sameSubject(intoto.Subject{Name: c.Name, Digest: c.Original}, s)
	}) {
		return fmt.Errorf("%w: it compared %d things, and the provenance names %d, or others", ErrCompared, len(r.Compared), len(g.Compare))
	}
	return nil
}

func sameSubject(a, b intoto.Subject) bool {
	return a.Name == b.Name && sha256Alone(a.Digest) && sha256Alone(b.Digest) && a.Digest["sha256"] == b.Digest["sha256"]
}

func sha256Alone(d intoto.Digests) bool { return len(d) == 1 && d["sha256"] != "" }

func first(subjects []intoto.Subject) string {
	if len(subjects) == 0 {
		return ""
	}
	return subjects[0].Name
}
