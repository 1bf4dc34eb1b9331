// Package step makes and reads the attestation of one step of a build: an
// in-toto Statement that somebody's tool ran the step of that name on inputs
// that have that digest, and what it left, its value and its files, to the byte
// and the mode. By it machines share results through a place that none of them
// trusts.
//
// The predicate, field by field and with an example, is
// attestations/predicates/step.md.
//
// # Refusals
//
// Statement refuses what does not make a step (ErrInput). Parse refuses another
// predicate (ErrPredicateType) and whatever Statement would not write (ErrStep):
// a file whose name leads out of its folder, or through another file; one that
// is there twice, has another mode than 0644 or 0755, or is larger than MaxFile;
// subjects that are not what the predicate names. Check refuses an attestation
// of another step, or of the same on other inputs (ErrOther). Who signed it,
// and whether he is believed, is for others to say.
package step

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// PredicateType is the type of statement that this package reads and writes.
const PredicateType = "https://palisade.example/predicates/step/v1"

// What a step may leave: so many files, and so many bytes in the name of one of
// them, in one of them, in all of them, and in its value.
const (
	MaxFiles = intoto.MaxSubjects - 1
	MaxName  = 1 << 10
	MaxFile  = 1 << 30
	MaxTotal = 2 << 30
	MaxValue = 64 << 20
)

// Why something is refused, each its own.
var (
	ErrInput         = errors.New("what was observed does not make the attestation of a step")
	ErrPredicateType = errors.New("it is no attestation of a step")
	ErrStep          = errors.New("malformed attestation of a step")
	ErrOther         = errors.New("it is of another step, or of other inputs")
)

// limits is what Parse allows: of as many files as there may be, with long
// names, less than half of it is written.
var limits = intoto.Limits{Size: 2 << 20, Depth: 8, Items: 2000}

// A Step is what was done and what came out: a predicate, out of which the
// subjects follow. Fields are in the order of their keys, in which they are
// written.
type Step struct {
	Builder provenance.Builder `json:"builder"`
	Files   []artifact.File    `json:"files"`  // sorted by name; may be none
	Inputs  artifact.Digest    `json:"inputs"` // of everything that decides what comes out
	Name    string             `json:"name"`   // and the version of what it does: compile-2
	Value   Value              `json:"value"`
}

// A Value is the JSON that a step returned.
type Value struct {
	Digest artifact.Digest `json:"digest"`
	Size   int64           `json:"size"`
}

// ValueOf is the value that is written as data.
func ValueOf(data []byte) Value {
	return Value{artifact.DigestBytes(data), int64(len(data))}
}

// Statement attests s, about its value first and then each file.
func Statement(s Step) (intoto.Statement, error) {
	s.Builder, s.Files = s.Builder.Sorted(), append([]artifact.File{}, s.Files...)
	if err := s.validate(); err != nil {
		return intoto.Statement{}, fmt.Errorf("attesting step %.100s: %w: %w", s.Name, ErrInput, err)
	}
	predicate, err := intoto.Canonical(s)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("attesting step %.100s: %w: %w", s.Name, ErrInput, err)
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: s.subjects(), Predicate: predicate}, nil
}

// subjects are what a reader finds the statement by.
func (s Step) subjects() []intoto.Subject {
	all := []intoto.Subject{{Name: "value.json", Digest: intoto.Digests{"sha256": s.Value.Digest.Hex()}}}
	for _, f := range s.Files {
		all = append(all, intoto.Subject{Name: "files/" + f.Name, Digest: intoto.Digests{"sha256": f.Digest.Hex()}})
	}
	return all
}

// Parse reads the attestation that st holds. That it is of what somebody looks
// for is for Check to find.
func Parse(st intoto.Statement) (Step, error) {
	if st.PredicateType != PredicateType {
		return Step{}, fmt.Errorf("%w: its predicateType is %.200q, want %s", ErrPredicateType, st.PredicateType, PredicateType)
	}
	var s Step
	err := intoto.Decode(st.Predicate, &s, limits)
	if err == nil {
		err = s.validate()
	}
	if err != nil {
		return Step{}, fmt.Errorf("%w: %w", ErrStep, err)
	}
	// That every field is there, and in its one form, is seen when it is written
	// again.
	var got, form bytes.Buffer
	again, err := intoto.Canonical(s)
	if err == nil {
		err = errors.Join(json.Compact(&form, again), json.Compact(&got, st.Predicate))
	}
	if err != nil {
		return Step{}, fmt.Errorf("%w: %w", ErrStep, err)
	}
	if !bytes.Equal(got.Bytes(), form.Bytes()) {
		return Step{}, fmt.Errorf("%w: not in the form that it is written in (a field that is missing or empty, order of keys, an escape)", ErrStep)
	}
	if !slices.EqualFunc(st.Subject, s.subjects(), same) {
		return Step{}, fmt.Errorf("%w: its subjects are not the value and the files that it names", ErrStep)
	}
	return s, nil
}

func same(a, b intoto.Subject) bool {
	return a.Name == b.Name && len(a.Digest) == 1 && a.Digest["sha256"] == b.Digest["sha256"]
}

// Check refuses an attestation that is not of that step on those inputs. s has
// to come from Parse.
func (s Step) Check(name string, inputs artifact.Digest) error {
	if name == "" || inputs.IsZero() || s.Name != name || s.Inputs != inputs {
		return fmt.Errorf("%w: of %.100s on %s, where %s on %s was looked for", ErrOther, s.Name, s.Inputs, name, inputs)
	}
	return nil
}

// validate holds every field of s against what is documented of it.
func (s Step) validate() error {
	if err := s.Builder.Validate(); err != nil {
		return err
	}
	if s.Name == "" || len(s.Name) > 64 || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("name is %.100q, no short plain one", s.Name)
	}
	if s.Inputs.IsZero() {
		return errors.New("inputs is missing")
	}
	if s.Value.Digest.IsZero() || s.Value.Size <= 0 || s.Value.Size > MaxValue {
		return fmt.Errorf("value has no digest, or %d bytes, of at most %d", s.Value.Size, MaxValue)
	}
	return s.validateFiles()
}

func (s Step) validateFiles() error {
	if s.Files == nil || len(s.Files) > MaxFiles {
		return fmt.Errorf("files are missing, or more than %d", MaxFiles)
	}
	names, total := map[string]bool{}, int64(0)
	for i, f := range s.Files {
		switch {
		case len(f.Name) > MaxName:
			return fmt.Errorf("files: a name of %d bytes, of at most %d", len(f.Name), MaxName)
		case !fs.ValidPath(f.Name) || f.Name == "." || strings.Contains(f.Name, `\`) || !intoto.Printable(f.Name):
			return fmt.Errorf("files: the name %.200q leads elsewhere, or is not printable", f.Name)
		case i > 0 && s.Files[i-1].Name >= f.Name:
			return fmt.Errorf("files: %.200q is there twice, or is out of order", f.Name)
		case f.Mode != "0644" && f.Mode != "0755":
			return fmt.Errorf("files: %.200q has the mode %.20q", f.Name, f.Mode)
		case f.Digest.IsZero() || f.Size < 0 || f.Size > MaxFile:
			return fmt.Errorf("files: %.200q has no digest, or %d bytes, of at most %d", f.Name, f.Size, MaxFile)
		}
		if total += f.Size; total > MaxTotal {
			return fmt.Errorf("files: more than %d bytes", int64(MaxTotal))
		}
		names[f.Name] = true
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if names[dir] {
				return fmt.Errorf("files: %.200q lies in the file %.200q", f.Name, dir)
			}
		}
	}
	return nil
}
