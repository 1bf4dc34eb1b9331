package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// limits is what Parse allows. Prometheus' provenance has 400 kB and a thousand
// dependencies.
var limits = intoto.Limits{Size: 16 << 20, Depth: 8, Items: 50_000}

// Parse reads the provenance that s holds. It refuses everything that
// Statement would not have written; that it is about an artifact, and says of
// it what is true, is for Check to find.
func Parse(s intoto.Statement) (Provenance, error) {
	p := Provenance{Subject: s.Subject}
	if err := readPredicate(s, &p, BuildType); err != nil {
		return Provenance{}, err
	}
	return p, nil
}

// readPredicate decodes the predicate of s into p, whose build type is want.
func readPredicate(s intoto.Statement, p interface{ validate() error }, want string) error {
	if s.PredicateType != PredicateType {
		return fmt.Errorf("%w: its predicateType is %.200q, want %s", ErrPredicateType, s.PredicateType, PredicateType)
	}
	if err := intoto.Decode(s.Predicate, p, limits); err != nil {
		// Of another build type nothing else has to be as it is here.
		if other, ok := anotherType(s.Predicate, want); ok {
			return fmt.Errorf("%w: its buildType is %.200q, want %s", ErrBuildType, other, want)
		}
		return fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	if err := p.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	// That every field is there, and has its one form, is seen when it is written again.
	form, err := encode(p)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	var got bytes.Buffer
	if err := json.Compact(&got, s.Predicate); err != nil || !bytes.Equal(got.Bytes(), form) {
		return fmt.Errorf("%w: not in the form that it is written in (a field that is missing or empty, order of keys, time, an escape)", ErrProvenance)
	}
	return nil
}

// anotherType is the build type of a predicate, if it is not want.
func anotherType(predicate []byte, want string) (string, bool) {
	var typed struct {
		BuildDefinition struct {
			BuildType string `json:"buildType"`
		} `json:"buildDefinition"`
	}
	if len(predicate) > limits.Size || json.Unmarshal(predicate, &typed) != nil {
		return "", false
	}
	return typed.BuildDefinition.BuildType, typed.BuildDefinition.BuildType != want
}

// validate holds every field of p against what is documented of it.
func (p Provenance) validate() error {
	d := p.BuildDefinition
	if d.BuildType != BuildType {
		return fmt.Errorf("%w: its buildType is %.200q, want %s", ErrBuildType, d.BuildType, BuildType)
	}
	witnessed := func() error {
		return d.InternalParameters.Workflow.validate(p.RunDetails, d.ResolvedDependencies)
	}
	for _, check := range []func() error{
		p.validateSubjects, d.ExternalParameters.validate, d.InternalParameters.validate,
		p.validateDependencies, p.RunDetails.validate, witnessed,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// validateSubjects wants the archive and then its binaries, by sha256 alone.
func (p Provenance) validateSubjects() error {
	if len(p.Subject) == 0 {
		return errors.New("it has no subject")
	}
	for i, s := range p.Subject {
		archive := i == 0
		if len(s.Digest) != 1 || s.Digest["sha256"] == "" || s.Name == "" || archive == strings.Contains(s.Name, "/") {
			return fmt.Errorf("subject %.200q is neither an archive in first place nor a binary in it, by its sha256", s.Name)
		}
		if err := s.Digest.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (e External) validate() error {
	if e.Distribution.IsZero() || e.Recipe.IsZero() || e.Platform == (artifact.Platform{}) {
		return errors.New("externalParameters lack distribution, recipe or platform")
	}
	for _, p := range [][2]string{{"component", e.Component}, {"variant", e.Variant}, {"version", e.Version}} {
		if p[1] == "" || !intoto.Printable(p[1]) {
			return fmt.Errorf("externalParameters.%s is %.200q", p[0], p[1])
		}
	}
	return nil
}

func (in Internal) validate() error {
	if err := in.Cache.validate(); err != nil {
		return err
	}
	if len(in.Command) == 0 || in.SourceDateEpoch <= 0 {
		return errors.New("internalParameters lack command or sourceDateEpoch")
	}
	for _, arg := range in.Command {
		if !intoto.Printable(arg) {
			return fmt.Errorf("internalParameters.command holds %.200q", arg)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(in.Environment)) {
		if entry := key + "=" + in.Environment[key]; key == "" || !intoto.Printable(entry) {
			return fmt.Errorf("internalParameters.environment holds %.200q", entry)
		}
	}
	if _, ok := in.Sandboxes[compiler]; !ok {
		return errors.New("internalParameters.sandboxes does not say how the compiler ran")
	}
	for _, what := range slices.Sorted(maps.Keys(in.Sandboxes)) {
		s := in.Sandboxes[what]
		if what != compiler && what != ui {
			return fmt.Errorf("internalParameters.sandboxes speaks of %.40q", what)
		}
		// One that was seen to be hermetic was seen to have namespaces.
		seen := s.Hermetic && s.Executor == ""
		if s.Hermetic && s.Reason != "" || seen && len(s.Namespaces) == 0 || !intoto.Printable(s.Reason) || !slices.IsSorted(s.Namespaces) {
			return fmt.Errorf("internalParameters.sandboxes.%s contradicts itself", what)
		}
		// An executor elsewhere promises: nobody saw its namespaces. None runs anything
		// but the compiler.
		if (s.Executor == "") != (s.Worker == "") || s.Executor != "" && (s.Executor != buildKit || what != compiler || len(s.Namespaces) > 0 || len(s.Worker) > artifact.MaxWorker || !intoto.Printable(s.Worker)) {
			return fmt.Errorf("internalParameters.sandboxes.%s names the executor %.40q and the worker %.200q", what, s.Executor, s.Worker)
		}
		for _, name := range s.Namespaces {
			if name == "" || !intoto.Printable(name) {
				return fmt.Errorf("internalParameters.sandboxes.%s has namespace %.40q", what, name)
			}
		}
	}
	if in.Hermetic != allHermetic(in.Sandboxes) {
		return errors.New("internalParameters.hermetic is not what sandboxes say")
	}
	return nil
}

func (d RunDetails) validate() error {
	if err := d.Builder.Validate(); err != nil {
		return err
	}
	if err := validateOrder(d.Byproducts); err != nil {
		return fmt.Errorf("byproducts: %w", err)
	}
	for _, r := range d.Byproducts {
		if len(r.Digest) != 1 || r.Digest["sha256"] == "" || r.MediaType != spdxType || r.Name == "" || r.URI != "" || r.DownloadLocation != "" || r.Annotations != nil {
			return fmt.Errorf("byproducts: %.200q is no SPDX document by its name and sha256", r.Name)
		}
		if err := r.Validate(); err != nil {
			return fmt.Errorf("byproducts: %w", err)
		}
	}
	return d.Metadata.Validate()
}

// Validate refuses a builder that does not say who it is and what it consists
// of, or says it out of order.
func (b Builder) Validate() error {
	if err := intoto.ValidateURI(b.ID); err != nil {
		return fmt.Errorf("builder.id: %w", err)
	}
	if len(b.Version) == 0 {
		return errors.New("builder.version is empty: which tool was it?")
	}
	for _, key := range slices.Sorted(maps.Keys(b.Version)) {
		if value := b.Version[key]; key == "" || value == "" || !intoto.Printable(key+value) {
			return fmt.Errorf("builder.version holds %.200q", key+"="+value)
		}
	}
	if err := validateOrder(b.Dependencies); err != nil {
		return fmt.Errorf("builder.builderDependencies: %w", err)
	}
	for _, r := range b.Dependencies {
		if err := r.Validate(); err != nil || len(r.Digest) == 0 {
			return fmt.Errorf("builder.builderDependencies: %.200q has no digest, or is malformed: %w", r.URI+r.Name, err)
		}
	}
	return nil
}

// Validate refuses times that are not whole seconds one after the other, and
// what does not name an execution.
func (m Metadata) Validate() error {
	if m.InvocationID == "" || len(m.InvocationID) > 1000 || !intoto.Printable(m.InvocationID) {
		return fmt.Errorf("metadata.invocationId is %.200q", m.InvocationID)
	}
	if m.StartedOn.Unix() <= 0 || m.FinishedOn.Before(m.StartedOn) || m.StartedOn.Nanosecond() != 0 || m.FinishedOn.Nanosecond() != 0 {
		return errors.New("metadata.startedOn and finishedOn are no times in whole seconds, one after the other")
	}
	return nil
}

// validateOrder wants resources sorted, none of them twice.
func validateOrder(list []intoto.Resource) error {
	for i := 1; i < len(list); i++ {
		if order(list[i-1], list[i]) >= 0 {
			return fmt.Errorf("%.200q is there twice or out of order", list[i].URI+list[i].Name)
		}
	}
	return nil
}
