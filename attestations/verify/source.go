package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
)

// ErrUnreachable is what an error of a Source wraps if it tells nothing of the
// image: Image then refuses nothing, and could not tell.
var ErrUnreachable = errors.New("it cannot be reached")

// A Source is where an image is, with what is said of it: a registry, for
// instance. What it gives is believed in nothing.
type Source interface {
	// Resolve is the digest of the image index that is meant. It is asked once.
	Resolve(context.Context) (artifact.Digest, error)
	// Blob opens what d names, which may be an index or a manifest.
	Blob(ctx context.Context, d ocilayout.Descriptor) (io.ReadCloser, error)
	// Bundles are the Sigstore bundles that are attached to an index or a
	// manifest, bounded in size and number.
	Bundles(ctx context.Context, subject artifact.Digest) ([][]byte, error)
}

// Image verifies an image where there is no release.json, by what is attached
// to it: its index and the manifest of each platform. name is the reference that
// the source resolves, and what the report calls it. The checks are those of the
// package's documentation, read so:
//
//   - digest (3): the reference is resolved, once. All else is read by digest, and
//     the digest is in the report.
//   - signature (4): the index and every manifest have a statement of cosign's type
//     sign/v1, about that digest alone and saying nothing else. An attestation is
//     none, though "cosign verify" is content with any (ErrPredicateType).
//   - members (9): the image is whole, down to the last file of the last layer
//     (ErrImage, and the errors of package ocilayout), and harmless, as an image of a
//     release has to be. Nothing below the index is read before somebody is known
//     to have signed that.
//   - spdx (5), provenance (6): the index and every manifest have the attestation,
//     about that digest alone.
//   - contents (11): the bill of materials lists these platforms with these files,
//     and no others, and the documents of the archives that are in the image.
//   - record (7): the image is of the component and version that the reference calls
//     it by, see below. It was made of one archive for each platform that the index
//     names; and of that archive, for that platform, the provenance is attached to
//     the manifest.
//   - policy (8): both provenances are acceptable, and so is that of the index.
//   - binaries (10): the binaries in the image are those that the archive's
//     provenance is about, by their digests.
//   - test-result (12): as of archives, about the manifest; the archive and the
//     component's binary in the image are what was tested.
//   - rebuilt (15): as many rebuilders as the policy demands attest of the index,
//     which names the manifests by their digests: from the provenance that is
//     attached to it, or from that of the release, which says the same of the whole
//     image (rebuild.CheckCarried). It has to be attached to the index. What they attest
//     of a manifest is told where it is attached to that. All else is passed over, for
//     anybody may attach what a rebuilder attests of another provenance.
//   - workflow (16): of each provenance that is attached, of the image and of its
//     archives.
//   - vex (17): as of archives, about the manifest. Of several the one counts whose
//     data is the newest: what was found out since is attached beside what was said
//     before.
//   - fresh (18): as of a release. The index of releases lists the image, by its digest,
//     component and variant, for a release that is the newest that was not withdrawn, or
//     the one asked for; and the version of a hardened image bears the name of the
//     distribution.
//
// Of several statements of any other kind about one digest, each that somebody signed
// whom the policy names, and no longer ago than it allows, has to pass; of audits whose
// results certificates signed, the last. Others
// are passed over and counted: whoever can write to a repository can put
// anything beside an image.
//
// HOST/…/COMPONENT:TAG is refused if it names the image of another component, or
// if TAG is a version, that of another version or variant: whoever can move a tag
// can have it name anything that was ever signed. A tag that is no version says
// nothing, and a reference by digest says all.
func Image(ctx context.Context, name string, source Source, p policy.Policy, t Trust) (Report, error) {
	open, err := t.opener(p)
	if err != nil {
		return Report{}, fmt.Errorf("verifying %s: %w", name, err)
	}
	return imageWith(ctx, name, source, p, open, t)
}

func imageWith(ctx context.Context, name string, source Source, p policy.Policy, open opener, t Trust) (Report, error) {
	report := Report{Policy: p.Name(), PolicyDigest: p.Digest()}
	if p.Digest().IsZero() || t.Now.IsZero() {
		return report, fmt.Errorf("verifying %s: %w: a policy that was read and the time are both needed", name, policy.ErrPolicy)
	}
	v := &imageVerifier{
		source: source, policy: p, open: open, now: t.Now, freshness: t.Fresh,
		documents: map[artifact.Digest][]byte{}, contents: map[artifact.Digest]error{}, inputs: map[artifact.Digest]string{},
	}
	refusals := v.run(ctx, name, &report)
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("verifying %s: %w", name, err)
	}
	if errors.Is(refusals, ErrUnreachable) {
		return report, fmt.Errorf("verifying %s: %w", name, refusals)
	}
	if refusals != nil {
		return report, fmt.Errorf("verifying %s: %w: %w", name, ErrRefused, refusals)
	}
	report.level = levels[p.BuildLevel()]
	report.Passed, report.now, report.inputs = true, t.Now, v.believed()
	report.resource, report.subjects = v.summed()
	return report, nil
}

// An imageVerifier verifies one image.
type imageVerifier struct {
	source    Source
	policy    policy.Policy
	open      opener
	now       time.Time
	freshness *Freshness

	digest    artifact.Digest
	index     *ocilayout.Index
	documents map[artifact.Digest][]byte // SPDX documents in the layers
	contents  map[artifact.Digest]error  // how bills of materials, by their digests, held against the image
	made      []provenance.Image         // what the provenance of the index says; one at least once its record is known
	inputs    map[artifact.Digest]string // every bundle that was believed, and what that is attached to
}

// run makes every check and returns the refusals, or why nothing can be told.
func (v *imageVerifier) run(ctx context.Context, name string, report *Report) error {
	whole := &subject{name: name}
	whole.check(Digest, nil, func() (_ string, err error) {
		v.digest, err = v.source.Resolve(ctx)
		report.Image = v.digest.String()
		return report.Image, err
	})
	subjects := []*subject{whole}
	if whole.passed(Digest) {
		said, err := v.attached(ctx, whole, v.digest)
		if err != nil {
			return err
		}
		v.signed(whole, said)
		// Whoever cannot sign need not be read.
		whole.check(Members, []Check{Signature}, func() (_ string, err error) {
			if v.index, err = ocilayout.Read(ctx, ocilayout.Descriptor{MediaType: ocilayout.IndexType, Digest: v.digest, Size: -1}, v.source, v.visitor()); err != nil {
				return "", fmt.Errorf("%w: %w", ErrImage, err)
			}
			return fmt.Sprintf("%d platforms", len(v.index.Images)), nil
		})
		if v.index != nil {
			v.ofIndex(whole, said, calledBy(name))
		}
		v.fresh(whole, report)
	}
	for n := 0; v.index != nil && n < len(v.index.Images); n++ {
		i := v.index.Images[n]
		s := &subject{name: name + " " + i.Platform.String()}
		s.add(Digest, Pass, i.Digest.String())
		said, err := v.attached(ctx, s, i.Digest)
		if err != nil {
			return err
		}
		v.ofPlatform(s, said, i, whole.passed(Record))
		subjects = append(subjects, s)
	}
	var refusals []error
	for _, s := range subjects {
		// By number, as of a release.
		slices.SortStableFunc(s.lines, func(a, b Line) int { return int(a.Number - b.Number) })
		report.Lines = append(report.Lines, s.lines...)
		refusals = append(refusals, s.refusals...)
	}
	return errors.Join(refusals...)
}

// sbomFolder is where an image holds the documents of its archives.
const sbomFolder = "usr/share/sbom"

// visitor keeps the documents that an image holds.
func (v *imageVerifier) visitor() ocilayout.Visitor {
	return ocilayout.Visitor{
		Keep: func(m ocilayout.Member) bool { return path.Dir(m.Name) == sbomFolder && m.Size <= maxStatement },
		See: func(m ocilayout.Member, content []byte) error {
			v.documents[m.Digest] = content
			return nil
		},
	}
}

// ofIndex makes the checks of the index.
func (v *imageVerifier) ofIndex(s *subject, said statements, called calling) {
	made, by := v.provenances(s, said)
	s.check(Record, []Check{Provenance}, func() (string, error) {
		var found []artifact.Platform
		for _, i := range v.index.Images {
			found = append(found, i.Platform)
		}
		for _, p := range made {
			e := p.BuildDefinition.ExternalParameters
			if !slices.Equal(e.Platforms, found) {
				return "", fmt.Errorf("%w: the provenance is of %v, the index of %v", ErrRecord, e.Platforms, found)
			}
			if err := called.means(e); err != nil {
				return "", err
			}
		}
		v.made = made
		e := made[0].BuildDefinition.ExternalParameters
		return fmt.Sprintf("%s %s, %s, made of %d archives", e.Component, e.Version, e.Variant, len(found)), nil
	})
	s.skip(Policy, "what the image is made of is known of each platform, and the provenance of the index is judged with it")
	v.described(s, said, s.passed(Record))
	v.rebuilt(s, said, true)
	vouched(s, v.policy, []Check{Provenance}, by)
}

// ofPlatform makes the checks of one manifest.
func (v *imageVerifier) ofPlatform(s *subject, said statements, i ocilayout.Image, known bool) {
	v.signed(s, said)
	made, by := v.provenances(s, said)
	v.described(s, said, known)
	var archive provenance.Archive
	var built []provenance.Provenance
	if known {
		s.check(Record, []Check{Provenance}, func() (_ string, err error) {
			if archive, err = v.archive(i.Platform, made); err != nil {
				return "", err
			}
			var of []voucher
			built, of, err = said.built(archive)
			by = append(by, of...)
			return "made of " + archive.Name + " " + archive.Digest.String(), err
		})
	} else {
		s.skip(Record, "record of the index did not pass")
	}
	s.check(Policy, []Check{Record}, func() (string, error) {
		for _, p := range built {
			if err := v.judge(p, i.Platform, slices.Concat(v.made, made)); err != nil {
				return "", err
			}
		}
		return archive.Name + " was built by " + builtBy(built[0]), nil
	})
	s.check(Members, []Check{Record}, func() (string, error) {
		of := v.made[0].BuildDefinition.InternalParameters.SourceDateEpoch
		return "it runs as " + i.Config.User, harmless(i, artifact.Image{Epoch: of})
	})
	s.check(Binaries, []Check{Record}, func() (string, error) {
		binaries := binaryDigests(i)
		for _, p := range built {
			if err := sameBinaries(binaries, p.Subject[1:]); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("%d binaries", len(binaries)), nil
	})
	s.check(TestResult, []Check{Record}, func() (string, error) {
		return v.tested(said, archive, binaryDigests(i)[v.made[0].BuildDefinition.ExternalParameters.Component])
	})
	v.rebuilt(s, said, false)
	v.vulnerable(s, said, &archive)
	vouched(s, v.policy, []Check{Record}, by)
}

// archive is the one that the image of a platform was made of, by every
// provenance of the index and of the manifest.
func (v *imageVerifier) archive(platform artifact.Platform, made []provenance.Image) (provenance.Archive, error) {
	first, err := archiveOf(v.made[0], platform)
	if err != nil {
		return first, err
	}
	for _, p := range slices.Concat(v.made, made) {
		if other, err := archiveOf(p, platform); err != nil || other != first {
			return first, fmt.Errorf("%w: the provenance of the manifest names another archive, or another does, than %s", ErrRecord, first.Name)
		}
	}
	return first, nil
}

func archiveOf(p provenance.Image, platform artifact.Platform) (provenance.Archive, error) {
	all, err := p.Archives()
	if err != nil {
		return provenance.Archive{}, fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	i := slices.IndexFunc(all, func(a provenance.Archive) bool { return a.Platform == platform })
	if i < 0 {
		return provenance.Archive{}, fmt.Errorf("%w: the provenance names no archive for %s", ErrRecord, platform)
	}
	return all[i], nil
}

// judge has the policy judge the archive that a platform's image was made of,
// and the image, by each provenance of it: of the same upstream and patches,
// made by its own builder in its own way, as of the images of a release.
func (v *imageVerifier) judge(archive provenance.Provenance, platform artifact.Platform, made []provenance.Image) error {
	c := archive.BuildDefinition.ExternalParameters
	if c.Platform != platform {
		return fmt.Errorf("%w: the archive is for %s, and the image that is made of it for %s", ErrRecord, c.Platform, platform)
	}
	for _, p := range made {
		if e := p.BuildDefinition.ExternalParameters; c.Component != e.Component || c.Variant != e.Variant || c.Version != e.Version {
			return fmt.Errorf("%w: the archive is %s %s, %s; the image is said to be %s %s, %s",
				ErrRecord, c.Component, c.Version, c.Variant, e.Component, e.Version, e.Variant)
		}
		if err := judgeImage(v.policy, p, []provenance.Provenance{archive}); err != nil {
			return err
		}
	}
	return nil
}

// binaryDigests are the digests of what lies in /bin, by name.
func binaryDigests(i ocilayout.Image) map[string]artifact.Digest {
	all := map[string]artifact.Digest{}
	for _, l := range i.Layers {
		for _, m := range l.Members {
			if name, ok := strings.CutPrefix(m.Name, "bin/"); ok && !m.Folder {
				all[name] = m.Digest
			}
		}
	}
	return all
}

func sameBinaries(found map[string]artifact.Digest, said []intoto.Subject) error {
	for _, s := range said {
		name := path.Base(s.Name)
		if found[name].Hex() != s.Digest["sha256"] {
			return fmt.Errorf("%w: /bin/%.100s is not the one of the archive", ErrMember, name)
		}
	}
	if len(found) != len(said) || len(said) == 0 {
		return fmt.Errorf("%w: the image holds %d binaries, the archive %d", ErrMember, len(found), len(said))
	}
	return nil
}
