package provenance

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// ParseImage reads the provenance of an image that s holds, about all of its
// subjects or about one alone (see About). It refuses everything that
// ImageStatement would not have written; that it is about an image, and says
// of it what is true, is for Check to find.
func ParseImage(s intoto.Statement) (Image, error) {
	p := Image{Subject: s.Subject}
	if err := readPredicate(s, &p, ImageBuildType); err != nil {
		return Image{}, err
	}
	return p, nil
}

// Check holds p against an image and the artifacts that it was made of: its
// subjects are all of the image's, or one (ErrSubject), and every field that
// ImageStatement takes from these says what they do (ErrMismatch). For the rest
// it is as Provenance.Check.
func (p Image) Check(i artifact.Image, records []artifact.Record) error {
	q, err := observedImage(i, records, p.RunDetails.Builder, p.Run())
	if err == nil {
		err = q.validate()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	one := len(p.Subject) == 1 && slices.ContainsFunc(q.Subject[1:], func(s intoto.Subject) bool { return equalSubjects(s, p.Subject[0]) })
	if !one && !slices.EqualFunc(p.Subject, q.Subject, equalSubjects) {
		return fmt.Errorf("%w: it is about %s; the record of %s is about %s", ErrSubject, list(p.Subject), i.Name, list(q.Subject))
	}
	said, err := encode(p)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	if form, err := encode(q); err == nil && bytes.Equal(said, form) {
		return nil
	}
	q.Subject = p.Subject
	fields := p.Differs(q)
	return fmt.Errorf("%w: of %s it differs in %d fields, %.300s", ErrMismatch, i.Name, len(fields), strings.Join(fields, ", "))
}

// Run is as Provenance.Run.
func (p Image) Run() Run {
	d := p.BuildDefinition
	return runOf(p.RunDetails.Metadata, d.ExternalParameters.Distribution, d.InternalParameters.Cache, d.InternalParameters.Workflow, d.ResolvedDependencies)
}

// Differs is as Provenance.Differs.
func (p Image) Differs(q Image) []string {
	return differences(fieldsOf(p.Subject, p), fieldsOf(q.Subject, q))
}

// Dependencies is as Provenance.Dependencies.
func (p Image) Dependencies(role Role) []intoto.Resource {
	return having(role, p.BuildDefinition.ResolvedDependencies)
}

// An Archive is what one platform's image was made of.
type Archive struct {
	Platform artifact.Platform
	Name     string
	Digest   artifact.Digest
	Document artifact.Digest // of its SPDX document
}

// Archives are what p says the image was made of, in the order of the index.
func (p Image) Archives() ([]Archive, error) {
	var all []Archive
	for _, pl := range p.BuildDefinition.ExternalParameters.Platforms {
		one := Archive{Platform: pl}
		for _, r := range p.BuildDefinition.ResolvedDependencies {
			if r.Annotations[platform] != pl.String() {
				continue
			}
			d, err := artifact.ParseDigest("sha256:" + r.Digest["sha256"])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
			if hasRole(r, RoleArchive) {
				one.Name, one.Digest = r.Name, d
			} else {
				one.Document = d
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// Roots is the module whose certificates p says the image holds.
func (p Image) Roots() (artifact.Module, error) {
	for _, r := range having(RoleRoots, p.BuildDefinition.ResolvedDependencies) {
		return moduleIn(r)
	}
	return artifact.Module{}, fmt.Errorf("%w: it names no roots", ErrProvenance)
}

// Repository is as Provenance.Repository.
func (p Image) Repository() (_ Repository, ok bool) {
	return repositoryIn(p.BuildDefinition.ResolvedDependencies)
}

// validate holds every field of p against what is documented of it.
func (p Image) validate() error {
	d := p.BuildDefinition
	if d.BuildType != ImageBuildType {
		return fmt.Errorf("%w: its buildType is %.200q, want %s", ErrBuildType, d.BuildType, ImageBuildType)
	}
	if err := d.InternalParameters.Cache.validate(); err != nil {
		return err
	}
	if d.InternalParameters.SourceDateEpoch <= 0 {
		return errors.New("internalParameters lack sourceDateEpoch")
	}
	witnessed := func() error {
		return d.InternalParameters.Workflow.validate(p.RunDetails, d.ResolvedDependencies)
	}
	for _, check := range []func() error{d.ExternalParameters.validate, p.validateSubjects, p.validateDependencies, p.RunDetails.validate, witnessed} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (e ImageExternal) validate() error {
	if e.Distribution.IsZero() || e.Recipe.IsZero() || len(e.Platforms) == 0 {
		return errors.New("externalParameters lack distribution, recipe or platforms")
	}
	for n, p := range e.Platforms {
		// A subject is called by the slug.
		if slices.ContainsFunc(e.Platforms[:n], func(o artifact.Platform) bool { return o.Slug() == p.Slug() }) {
			return fmt.Errorf("externalParameters.platforms has %s twice", p.Slug())
		}
	}
	for _, p := range [][2]string{{"component", e.Component}, {"variant", e.Variant}, {"version", e.Version}} {
		if p[1] == "" || !intoto.Printable(p[1]) {
			return fmt.Errorf("externalParameters.%s is %.200q", p[0], p[1])
		}
	}
	return nil
}

// validateSubjects wants the file, the index and the image of each platform,
// in this order, or one of those that a registry has.
func (p Image) validateSubjects() error {
	e := p.BuildDefinition.ExternalParameters
	want := []string{artifact.ImageName(e.Component, e.Version), e.Component}
	for _, pl := range e.Platforms {
		want = append(want, e.Component+"/"+pl.Slug())
	}
	var got []string
	for _, s := range p.Subject {
		if len(s.Digest) != 1 || s.Digest["sha256"] == "" {
			return fmt.Errorf("subject %.200q is not named by its sha256 alone", s.Name)
		}
		if err := s.Digest.Validate(); err != nil {
			return err
		}
		got = append(got, s.Name)
	}
	if !slices.Equal(got, want) && (len(got) != 1 || !slices.Contains(want[1:], got[0])) {
		return fmt.Errorf("its subjects are %.300q, neither all nor one of %.300q", got, want)
	}
	return nil
}

// imageRoles is what a dependency of each role has: its digests and, beside
// "roles", annotations.
var imageRoles = map[Role]struct{ digests, annotations []string }{
	RoleArchive:    {[]string{"sha256"}, []string{platform}},
	RoleDocument:   {[]string{"sha256"}, []string{platform}},
	RoleRoots:      {[]string{"dirHash", "sha256"}, nil},
	RoleRepository: {[]string{"gitCommit"}, []string{clean}},
}

func (p Image) validateDependencies() error {
	d := p.BuildDefinition
	if err := validateOrder(d.ResolvedDependencies); err != nil {
		return fmt.Errorf("resolvedDependencies: %w", err)
	}
	count := map[string]int{}
	for _, r := range d.ResolvedDependencies {
		if err := validateOfImage(r); err != nil {
			return fmt.Errorf("resolvedDependencies: %.200q: %w", r.URI+" "+r.Name, err)
		}
		count[r.Annotations[roles]+r.Annotations[platform]]++
	}
	total := count[string(RoleRoots)] + count[string(RoleRepository)]
	for _, pl := range d.ExternalParameters.Platforms {
		for _, role := range []Role{RoleArchive, RoleDocument} {
			if count[string(role)+pl.String()] != 1 {
				return fmt.Errorf("resolvedDependencies have %d of the role %s for %s, want one", count[string(role)+pl.String()], role, pl)
			}
			total++
		}
	}
	if count[string(RoleRoots)] != 1 || count[string(RoleRepository)] > 1 || total != len(d.ResolvedDependencies) {
		return errors.New("resolvedDependencies lack the module of the roots, or have two repositories, or something for another platform")
	}
	return nil
}

func validateOfImage(r intoto.Resource) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if r.Name == "" || r.DownloadLocation != "" || r.MediaType != "" {
		return errors.New("it has no name, or fields that no dependency has")
	}
	role := Role(r.Annotations[roles])
	has, known := imageRoles[role]
	if !known {
		return fmt.Errorf("it cannot have the roles %.200q", role)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(r.Digest)), has.digests) {
		return fmt.Errorf("its digests are not those of a %s, %s", role, strings.Join(has.digests, ", "))
	}
	annotations := slices.Sorted(slices.Values(append(slices.Clone(has.annotations), roles)))
	if !slices.Equal(slices.Sorted(maps.Keys(r.Annotations)), annotations) {
		return fmt.Errorf("its annotations are not those of a %s", role)
	}
	switch role {
	case RoleRepository:
		return validateRepository(r)
	case RoleRoots:
		if goModule.canonical(r.Name) != r.URI {
			return fmt.Errorf("it is called %.200q", r.Name)
		}
		return nil
	}
	if r.URI != "" || strings.ContainsAny(r.Name, "/\\") {
		return errors.New("it is no file in the release")
	}
	return nil
}
