package rebuild

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// limits is what Parse allows: of a release with a thousand binaries, ten times
// as much as is written.
var limits = intoto.Limits{Size: 4 << 20, Depth: 8, Items: 20_000}

// maxText bounds what a variation says, in bytes.
const maxText = 4000

// A Run is one execution of a rebuild. Nothing in it need be sorted, and times
// are cut to seconds.
type Run struct {
	Rebuilder provenance.Builder
	Rebuilt   map[string]artifact.Digest // what came out, by the names of Given.Compare
	Varied    []Variation
	NotVaried []Variation
	Metadata  provenance.Metadata
}

// Statement attests that a run rebuilt what is given, byte for byte.
func Statement(g Given, run Run) (intoto.Statement, error) {
	fail := func(err error) (intoto.Statement, error) {
		return intoto.Statement{}, fmt.Errorf("attesting the rebuild of %.200s: %w", first(g.Subject), err)
	}
	compared, err := compare(g.Compare, run.Rebuilt)
	if err != nil {
		return fail(err)
	}
	m := run.Metadata
	m.StartedOn, m.FinishedOn = m.StartedOn.UTC().Truncate(time.Second), m.FinishedOn.UTC().Truncate(time.Second)
	r := Rebuild{
		Subject: g.Subject, Compared: compared, Metadata: m, Original: g.Original, Rebuilder: run.Rebuilder.Sorted(),
		Varied: sorted(run.Varied), NotVaried: sorted(run.NotVaried),
	}
	if err := r.validate(); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrInput, err))
	}
	predicate, err := intoto.Canonical(r)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrInput, err))
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: r.Subject, Predicate: predicate}, nil
}

// compare holds what came out against what has to.
func compare(want []intoto.Subject, got map[string]artifact.Digest) ([]Compared, error) {
	var all []Compared
	for _, w := range want {
		d, there := got[w.Name]
		if !there || d.IsZero() {
			return nil, fmt.Errorf("%w: %.200q was not compared", ErrInput, w.Name)
		}
		if d.Hex() != w.Digest["sha256"] {
			return nil, fmt.Errorf("%w: %.200q is %s, not %.64s", ErrDiffers, w.Name, d, w.Digest["sha256"])
		}
		all = append(all, Compared{Name: w.Name, Original: maps.Clone(w.Digest), Rebuilt: intoto.Digests{"sha256": d.Hex()}})
	}
	if len(got) != len(want) {
		return nil, fmt.Errorf("%w: %d things came out, and the provenance names %d", ErrInput, len(got), len(want))
	}
	return all, nil
}

// sorted is a copy of list, never nil.
func sorted(list []Variation) []Variation {
	list = append([]Variation{}, list...)
	slices.SortFunc(list, func(a, b Variation) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Parse reads the attestation that s holds. That it is of a provenance is for
// Check to find.
func Parse(s intoto.Statement) (Rebuild, error) {
	if s.PredicateType != PredicateType {
		return Rebuild{}, fmt.Errorf("%w: its predicateType is %.200q, want %s", ErrPredicateType, s.PredicateType, PredicateType)
	}
	r := Rebuild{Subject: s.Subject}
	err := intoto.Decode(s.Predicate, &r, limits)
	if err == nil {
		err = r.validate()
	}
	if err != nil {
		return Rebuild{}, fmt.Errorf("%w: %w", ErrRebuild, err)
	}
	// That every field is there, and in its one form, is seen when it is written
	// again.
	var got, form bytes.Buffer
	again, err := intoto.Canonical(r)
	if err == nil {
		err = errors.Join(json.Compact(&form, again), json.Compact(&got, s.Predicate))
	}
	if err != nil {
		return Rebuild{}, fmt.Errorf("%w: %w", ErrRebuild, err)
	}
	if !bytes.Equal(got.Bytes(), form.Bytes()) {
		return Rebuild{}, fmt.Errorf("%w: not in the form that it is written in (a field that is missing or empty, order of keys, time, an escape)", ErrRebuild)
	}
	return r, nil
}

// validate holds every field of r against what is documented of it.
func (r Rebuild) validate() error {
	if err := intoto.ValidateURI(r.Original.Builder); err != nil {
		return fmt.Errorf("original.builder: %w", err)
	}
	if r.Original.Provenance.IsZero() {
		return errors.New("original.provenance is missing")
	}
	if err := r.Rebuilder.Validate(); err != nil {
		return fmt.Errorf("rebuilder: %w", err)
	}
	if err := r.Metadata.Validate(); err != nil {
		return err
	}
	if err := r.validateCompared(); err != nil {
		return err
	}
	return r.validateVaried()
}

func (r Rebuild) validateCompared() error {
	equal := map[string]string{}
	for i, c := range r.Compared {
		if c.Name == "" || !intoto.Printable(c.Name) || i > 0 && r.Compared[i-1].Name >= c.Name {
			return fmt.Errorf("compared: %.200q is no name, is there twice, or is out of order", c.Name)
		}
		if !sha256Alone(c.Original) || !sha256Alone(c.Rebuilt) {
			return fmt.Errorf("compared: %.200q is not named by its sha256 alone", c.Name)
		}
		if err := errors.Join(c.Original.Validate(), c.Rebuilt.Validate()); err != nil {
			return fmt.Errorf("compared: %.200q: %w", c.Name, err)
		}
		if c.Original["sha256"] != c.Rebuilt["sha256"] {
			return fmt.Errorf("compared: of %.200q it says that it differs: that is no rebuild", c.Name)
		}
		equal[c.Name] = c.Original["sha256"]
	}
	if len(r.Subject) == 0 {
		return errors.New("it has no subject")
	}
	for _, s := range r.Subject {
		if s.Name == "" || !sha256Alone(s.Digest) || equal[s.Name] != s.Digest["sha256"] {
			return fmt.Errorf("subject %.200q is not among what was compared, by its sha256 alone", s.Name)
		}
	}
	return nil
}

func (r Rebuild) validateVaried() error {
	if len(r.Varied) == 0 {
		return errors.New("varied is empty: a build in the same surroundings shows little")
	}
	names := map[string]bool{}
	for _, list := range []struct {
		name string
		all  []Variation
	}{{"varied", r.Varied}, {"notVaried", r.NotVaried}} {
		for i, v := range list.all {
			says, silent := v.Value, v.Why
			if list.name == "notVaried" {
				says, silent = v.Why, v.Value
			}
			if v.Name == "" || !intoto.Printable(v.Name) || names[v.Name] || i > 0 && list.all[i-1].Name >= v.Name {
				return fmt.Errorf("%s: %.200q is no name, is there twice, or is out of order", list.name, v.Name)
			}
			if says == "" || silent != "" || len(says) > maxText || !intoto.Printable(says) {
				return fmt.Errorf("%s: %.200q says %.200q", list.name, v.Name, v.Value+v.Why)
			}
			names[v.Name] = true
		}
	}
	return nil
}
