package verify

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
	"palisade/attestations/unpack"
)

// artifact makes the checks of one artifact.
func (v *verifier) artifact(ctx context.Context, s *subject, r artifact.Record) {
	var (
		file *os.File
		doc  document
		as   signed // the provenance
		said provenance.Provenance
		in   insideOf
	)
	// One handle for hashing and for unpacking, so that nothing can be put in
	// the file's place in between.
	s.check(Digest, nil, func() (string, error) {
		var err error
		file, err = v.hashed(ctx, r.Name, r.Digest, r.Size)
		return r.Digest.String(), err
	})
	if file != nil {
		defer file.Close()
	}
	s.check(Signature, []Check{Digest}, func() (string, error) {
		got, err := v.signature(r.Name, r.Digest, ErrSignature)
		return got.String(), err
	})
	doc = v.described(s, r.Name, r.Documents, subjectOf(r.Name, r.Digest))
	s.check(Provenance, []Check{Digest}, func() (_ string, err error) {
		as, said, err = v.attestedProvenance(r)
		return as.String(), err
	})
	s.check(Record, []Check{Provenance}, func() (string, error) {
		if err := said.Check(r); err != nil {
			return "", fmt.Errorf("%w: %w", ErrRecord, err)
		}
		v.madeBy(r.Name, said.Run())
		return fmt.Sprintf("%d dependencies", len(said.BuildDefinition.ResolvedDependencies)), nil
	})
	s.check(Policy, []Check{Record}, func() (string, error) {
		c, err := claim(said)
		if err != nil {
			return "", err
		}
		return "built by " + builtBy(said), v.policy.Judge(c)
	})
	trusted := []Check{Digest, Signature, Record}
	s.check(Members, trusted, func() (_ string, err error) {
		in, err = v.unpack(ctx, r, file)
		return fmt.Sprintf("%d files", len(in.members)), err
	})
	s.check(Binaries, []Check{Members}, func() (string, error) {
		return fmt.Sprintf("%d binaries", len(in.binaries)), in.check(r)
	})
	s.check(Contents, []Check{SPDX, Binaries}, func() (string, error) {
		return "the bill of materials is that of the artifact", checkContents(doc, r, in)
	})
	s.check(TestResult, []Check{Digest}, func() (string, error) {
		got, audit, err := v.verdict(r)
		if err == nil {
			err = v.policy.JudgeAudit(r.Component, r.Variant, audit)
		}
		if !audit.Ran {
			return "no audit ran, and the policy does not demand one", err
		}
		return map[bool]string{true: "passed", false: "did not pass"}[audit.Passed] + ", " + got.String(), err
	})
	if v.dir.has(binFolder) {
		s.check(Loose, trusted, func() (string, error) { return v.loose(ctx, r) })
	}
	v.rebuilt(s, r.Name, func() (rebuild.Given, error) { return rebuild.Artifact(said, as.digest()) })
	v.vulnerable(s, r)
	vouched(s, v.policy, []Check{Provenance}, []voucher{{as, said.Run().Workflow}})
}

// described makes the check of the bill of materials of what lies in the file
// of that name.
func (v *verifier) described(s *subject, file string, documents []artifact.File, of intoto.Subject) (doc document) {
	name := file + spdxSuffix
	bundle, wanted := bundleOf(name), v.policy.Requires(policy.SPDX)
	switch {
	case !wanted && !v.dir.has(bundle) && !v.dir.has(name):
		s.skip(SPDX, "the policy does not demand it, and it is not there")
	case !wanted && !v.dir.has(bundle):
		// What nobody signed as an attestation is in the index all the same.
		if _, err := v.listedDocument(name, documents); err != nil {
			s.check(SPDX, nil, func() (string, error) { return "", err })
		} else {
			s.skip(SPDX, "the policy does not demand it, and "+bundle+" is not there")
		}
	default:
		s.check(SPDX, []Check{Digest}, func() (_ string, err error) {
			var got signed
			got, doc, err = v.attestedDocument(file, documents, of)
			return got.String(), err
		})
	}
	return doc
}

// hashed opens the file of that name, which has to have that digest and size,
// and was read once. It is to be closed if it is not nil, whatever the error.
func (v *verifier) hashed(ctx context.Context, name string, want artifact.Digest, length int64) (*os.File, error) {
	file, size, err := v.dir.open(name)
	if err != nil {
		return nil, err
	}
	d, size, err := digestOfFile(ctx, file, name, size)
	if err == nil && (d != want || size != length) {
		err = fmt.Errorf("%w: %s is %s of %d bytes, not %s of %d", ErrDigest, name, d, size, want, length)
	}
	return file, err
}

// unpack reads an archive. Few binaries are held whole at a time.
func (v *verifier) unpack(ctx context.Context, r artifact.Record, file *os.File) (insideOf, error) {
	var largest int64
	for _, b := range r.Binaries {
		largest = max(largest, b.Size)
	}
	if largest > unpack.MaxMember {
		return insideOf{}, fmt.Errorf("%w: a binary of %d bytes", ErrTooLarge, largest)
	}
	if err := v.memory.Acquire(ctx, largest); err != nil {
		return insideOf{}, err
	}
	defer v.memory.Release(largest)
	return lookInside(ctx, r, io.NewSectionReader(file, 0, r.Size))
}

// loose holds what lies in bin against the archive's own binaries.
func (v *verifier) loose(ctx context.Context, r artifact.Record) (string, error) {
	n := 0
	each := func(name string, want artifact.Digest) error {
		n++
		d, _, err := v.dir.digest(ctx, name)
		if err == nil && d != want {
			err = fmt.Errorf("%w: %s is %s, not %s", ErrLoose, name, d, want)
		}
		return err
	}
	for _, b := range r.Binaries {
		if err := each(binDir(r)+"/"+b.Name, b.Digest); err != nil {
			return "", err
		}
	}
	for _, f := range r.Documents {
		if !strings.HasPrefix(f.Name, binFolder+"/") {
			continue
		}
		if err := each(f.Name, f.Digest); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d files", n), nil
}
