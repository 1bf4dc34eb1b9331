package verify

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
	"palisade/attestations/unpack"
)

// image makes the checks of an image of a release, which is made of some of
// these artifacts. Of their files nothing is read: what the image holds of them
// has the digests that their records name, and their attestations are judged
// with its own.
func (v *verifier) image(ctx context.Context, s *subject, i artifact.Image, records []artifact.Record) {
	var (
		file  *os.File
		doc   document
		as    signed // the provenance
		said  provenance.Image
		built []provenance.Provenance
		by    []voucher // for these
		in    insideImage
	)
	records = madeOf(i, records)
	s.check(Digest, nil, func() (_ string, err error) {
		file, err = v.hashed(ctx, i.Name, i.Digest, i.Size)
		return i.Digest.String(), err
	})
	if file != nil {
		defer file.Close()
	}
	s.check(Signature, []Check{Digest}, func() (string, error) {
		got, err := v.signature(i.Name, i.Digest, ErrSignature)
		return got.String(), err
	})
	doc = v.described(s, i.Name, i.Documents, subjectOf(i.Name, i.Digest))
	s.check(Provenance, []Check{Digest}, func() (_ string, err error) {
		as, said, err = v.imageProvenance(i)
		return as.String(), err
	})
	s.check(Record, []Check{Provenance}, func() (_ string, err error) {
		if err := said.Check(i, records); err != nil {
			return "", fmt.Errorf("%w: %w", ErrRecord, err)
		}
		v.madeBy(i.Name, said.Run())
		built, by, err = v.archives(records)
		return fmt.Sprintf("made of %d archives, whose provenance says what the index says", len(records)), err
	})
	s.check(Policy, []Check{Record}, func() (string, error) {
		return "made by " + said.RunDetails.Builder.ID + promised(built...), judgeImage(v.policy, said, built)
	})
	s.check(Members, []Check{Digest, Signature, Record}, func() (_ string, err error) {
		in, err = v.readImage(ctx, i, records, file)
		return fmt.Sprintf("%d platforms", len(i.Platforms)), err
	})
	s.check(Binaries, []Check{Members}, func() (string, error) {
		return "of each platform those of its archive", in.check(i, records)
	})
	s.check(Contents, []Check{SPDX, Binaries}, func() (string, error) {
		return "the bill of materials is that of the image", checkImageContents(doc, i, in)
	})
	s.check(TestResult, []Check{Digest}, func() (string, error) { return v.imageAudits(records) })
	if v.dir.has(i.BundlesDir()) {
		s.check(Carried, []Check{Record}, func() (string, error) { return v.carried(i, said, records) })
	}
	v.rebuilt(s, i.Name, func() (rebuild.Given, error) { return rebuild.Image(said, as.digest()) })
	v.vulnerable(s, records...)
	vouched(s, v.policy, []Check{Record}, append(by, voucher{as, said.Run().Workflow}))
}

// madeOf are the artifacts that i is made of, in the order of its platforms;
// artifact.ParseManifest has seen that all are there.
func madeOf(i artifact.Image, records []artifact.Record) (all []artifact.Record) {
	for _, p := range i.Platforms {
		n := slices.IndexFunc(records, func(r artifact.Record) bool { return r.Name == p.Artifact })
		all = append(all, records[n])
	}
	return all
}

// readImage reads the image layout and holds it against the index. Few
// binaries are held whole at a time.
func (v *verifier) readImage(ctx context.Context, i artifact.Image, records []artifact.Record, file *os.File) (insideImage, error) {
	var largest int64
	for _, r := range records {
		for _, b := range r.Binaries {
			largest = max(largest, b.Size)
		}
	}
	if largest > unpack.MaxMember {
		return insideImage{}, fmt.Errorf("%w: a binary of %d bytes", ErrTooLarge, largest)
	}
	if err := v.memory.Acquire(ctx, largest); err != nil {
		return insideImage{}, err
	}
	defer v.memory.Release(largest)
	in := insideImage{binaries: map[artifact.Digest]found{}, documents: map[artifact.Digest][]byte{}}
	layout, err := ocilayout.Open(ctx, file, i.Size, in.visitor(records))
	if err != nil {
		return in, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if want := ocilayout.Ref(i.Component, i.Version); layout.Ref != want {
		return in, fmt.Errorf("%w: its layout calls it %.100q, not %s", ErrImage, layout.Ref, want)
	}
	return in, sameImage(&layout.Index, i, records)
}

// An insideImage is what was found in an image: of its files those that are
// looked into, by their digests.
type insideImage struct {
	binaries  map[artifact.Digest]found
	documents map[artifact.Digest][]byte // SPDX, of archives
}

const (
	binInside      = "bin"
	licencesInside = "usr/share/licenses"
)

// visitor keeps what is looked into, no larger than the records have it.
func (in insideImage) visitor(records []artifact.Record) ocilayout.Visitor {
	isBinary := func(m ocilayout.Member) bool {
		return path.Dir(m.Name) == binInside && slices.ContainsFunc(records, func(r artifact.Record) bool {
			return slices.ContainsFunc(r.Binaries, func(b artifact.Binary) bool { return b.Name == path.Base(m.Name) && b.Size == m.Size })
		})
	}
	isDocument := func(m ocilayout.Member) bool {
		return slices.ContainsFunc(records, func(r artifact.Record) bool {
			return slices.ContainsFunc(r.Documents, func(f artifact.File) bool { return m.Name == documentInside(r) && f.Size == m.Size })
		})
	}
	return ocilayout.Visitor{
		Keep: func(m ocilayout.Member) bool { return isBinary(m) || isDocument(m) },
		See: func(m ocilayout.Member, content []byte) error {
			if !isBinary(m) {
				in.documents[m.Digest] = content
				return nil
			}
			b, err := readBinary(content)
			b.Name, b.Size, b.Digest = path.Base(m.Name), m.Size, m.Digest
			in.binaries[m.Digest] = found{b, err}
			return nil
		},
	}
}

// of is what was found of one platform, as in an archive.
func (in insideImage) of(p artifact.PlatformImage) insideOf {
	one := insideOf{binaries: map[string]found{}}
	for _, m := range membersOf(p) {
		one.members = append(one.members, m)
		if f, ok := in.binaries[m.Digest]; ok && path.Dir(m.Name) == binInside && f.Name == path.Base(m.Name) {
			one.binaries[m.Name] = f
		} else if isProgram(m) {
			one.programs = append(one.programs, m.Name)
		}
	}
	return one
}

func membersOf(p artifact.PlatformImage) (all []artifact.File) {
	for _, l := range p.Layers {
		all = append(all, l.Members...)
	}
	return all
}

// check holds what each platform's image has of its archive against the record
// of that: the binaries as an archive's, the licences of the component, and the
// bill of materials.
func (in insideImage) check(i artifact.Image, records []artifact.Record) error {
	for n, p := range i.Platforms {
		if err := in.checkPlatform(p, records[n]); err != nil {
			return fmt.Errorf("platform %s: %w", p.Platform, err)
		}
	}
	return nil
}

func (in insideImage) checkPlatform(p artifact.PlatformImage, r artifact.Record) error {
	if err := in.of(p).check(r); err != nil {
		return err
	}
	described := false
	for _, m := range membersOf(p) {
		if path.Dir(m.Name) == path.Join(licencesInside, r.Component) && !has(r.Members, m, path.Base) {
			return fmt.Errorf("%w: %.200q is no file of %s", ErrImage, m.Name, r.Name)
		}
		if m.Name == documentInside(r) {
			m.Name = r.Name + spdxSuffix
			described = has(r.Documents, m, path.Clean)
		}
	}
	if !described {
		return fmt.Errorf("%w: it does not hold the bill of materials of %s as %s", ErrImage, r.Name, documentInside(r))
	}
	return nil
}

// has reports whether one of files has the name, or that part of it, and the
// content of f.
func has(files []artifact.File, f artifact.File, part func(string) string) bool {
	return slices.ContainsFunc(files, func(one artifact.File) bool { return part(one.Name) == part(f.Name) && one.Digest == f.Digest })
}

// documentInside is where an image has the bill of materials of r.
func documentInside(r artifact.Record) string { return path.Join(sbomFolder, r.Component+spdxSuffix) }
