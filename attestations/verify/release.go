package verify

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"palisade/attestations/artifact"
	"palisade/attestations/policy"
	"palisade/attestations/unpack"
)

// Release verifies the release in dir: every check of every artifact and image. The
// error wraps ErrRefused, and the sentinel of every refusal, unless nothing
// could be told; the report says as much as was seen, whatever the error.
func Release(ctx context.Context, dir string, p policy.Policy, t Trust) (Report, error) {
	return verify(ctx, dir, "", p, t)
}

// File verifies one artifact of the release that lies in its folder, as
// Release would, with release.json beside it. Of the other artifacts nothing is
// looked at, and their files need not be there, nor SHA256SUMS. Of an image it
// takes what is said of the archives that it is made of, but not these. The index
// itself stands for the whole release.
func File(ctx context.Context, name string, p policy.Policy, t Trust) (Report, error) {
	only := filepath.Base(name)
	if only == indexName {
		only = ""
	}
	return verify(ctx, filepath.Dir(name), only, p, t)
}

func verify(ctx context.Context, dir, only string, p policy.Policy, t Trust) (Report, error) {
	open, err := t.opener(p)
	if err != nil {
		return Report{}, fmt.Errorf("verifying %s: %w", dir, err)
	}
	return verifyWith(ctx, dir, only, p, open, t)
}

func verifyWith(ctx context.Context, dir, only string, p policy.Policy, open opener, t Trust) (Report, error) {
	report := Report{Policy: p.Name(), PolicyDigest: p.Digest()}
	if p.Digest().IsZero() || t.Now.IsZero() {
		return report, fmt.Errorf("verifying %s: %w: a policy that was read and the time are both needed", dir, policy.ErrPolicy)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return report, fmt.Errorf("verifying %s: %w", dir, err)
	}
	defer root.Close()
	v := newVerifier(directory{root}, p, open, t)
	err = v.run(ctx, &report, only)
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("verifying %s: %w", dir, err)
	}
	if err != nil {
		return report, fmt.Errorf("verifying %s: %w: %w", dir, ErrRefused, err)
	}
	report.level = levels[p.BuildLevel()]
	report.Passed, report.now, report.inputs = true, t.Now, v.inputs()
	report.resource = ResourceURI(report.Distribution, v.indexDigest)
	return report, nil
}

// A verifier verifies one release.
type verifier struct {
	dir       directory
	policy    policy.Policy
	open      opener
	now       time.Time
	freshness *Freshness
	keys      []crypto.PublicKey // that the policy accepts

	indexDigest  artifact.Digest
	distribution string              // whose release it is
	memory       *semaphore.Weighted // for binaries that are held whole

	mu      sync.Mutex
	opened  map[string]artifact.Digest // every bundle that was believed, by its name
	sources sources                    // of the files, by their names
}

func newVerifier(dir directory, p policy.Policy, open opener, t Trust) *verifier {
	return &verifier{keys: t.keys(p.Signers()), dir: dir, policy: p, open: open, now: t.Now, freshness: t.Fresh, memory: semaphore.NewWeighted(unpack.MaxMember), opened: map[string]artifact.Digest{}, sources: sources{}}
}

// run makes every check and returns the refusals.
func (v *verifier) run(ctx context.Context, report *Report, only string) error {
	whole := &subject{name: indexName}
	var index *artifact.Manifest
	whole.check(Index, nil, func() (string, error) {
		var err error
		var detail string
		index, detail, err = v.index(report)
		return detail, err
	})
	var what selection
	whole.check(Files, []Check{Index}, func() (string, error) {
		var err error
		if what, err = chosen(index, only); err != nil {
			return "", err
		}
		return v.files(index, what, only)
	})
	if index == nil {
		v.fresh(whole, index, only, report)
		report.Lines = whole.lines
		return errors.Join(whole.refusals...)
	}
	report.Distribution, v.distribution = index.Distribution, index.Distribution
	if only == "" {
		report.subjects = append(report.subjects, subjectOf(indexName, v.indexDigest))
	}
	subjects := make([]subject, len(what.records)+len(what.images))
	each(what.records, func(n int, r artifact.Record) { v.artifact(ctx, subjects[n].of(r.Name, r.Digest), r) })
	each(what.images, func(n int, i artifact.Image) {
		v.image(ctx, subjects[len(what.records)+n].of(i.Name, i.Digest), i, index.Artifacts)
	})
	v.fresh(whole, index, only, report)
	report.Lines = whole.lines
	refusals := whole.refusals
	for _, s := range subjects {
		report.Lines = append(report.Lines, s.lines...)
		report.subjects = append(report.subjects, subjectOf(s.name, s.digest))
		refusals = append(refusals, s.refusals...)
	}
	return errors.Join(refusals...)
}

// each calls do for every element, as many at a time as there are processors.
func each[T any](list []T, do func(n int, t T)) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for n, t := range list {
		group.Go(func() error {
			do(n, t)
			return nil
		})
	}
	_ = group.Wait() // nothing that it runs fails
}

// index reads and verifies release.json.
func (v *verifier) index(report *Report) (*artifact.Manifest, string, error) {
	data, err := v.dir.read(indexName, artifact.MaxManifestSize)
	if err != nil {
		return nil, "", err
	}
	digest := artifact.DigestBytes(data)
	report.Release, v.indexDigest = digest.String(), digest
	// Its signature first: whoever cannot sign need not be parsed.
	s, err := v.signature(indexName, digest, ErrIndexSignature)
	if err != nil {
		return nil, "", err
	}
	m, err := artifact.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrIndex, err)
	}
	if len(m.Artifacts) == 0 {
		return nil, "", fmt.Errorf("%w: it names no artifact", ErrIndex)
	}
	for _, r := range m.Artifacts {
		if err := named(r, m.Distribution); err != nil {
			return nil, "", fmt.Errorf("%w: %.300q: %w", ErrIndex, r.Name, err)
		}
	}
	return m, s.String(), nil
}

// A selection is what is verified of a release.
type selection struct {
	records []artifact.Record
	images  []artifact.Image
}

// names are those of the files that are selected.
func (s selection) names() (all []string) {
	for _, r := range s.records {
		all = append(all, r.Name)
	}
	for _, i := range s.images {
		all = append(all, i.Name)
	}
	return all
}

// chosen is what to verify: all, or what has that name.
func chosen(index *artifact.Manifest, only string) (selection, error) {
	if only == "" {
		return selection{index.Artifacts, index.Images}, nil
	}
	for _, r := range index.Artifacts {
		if r.Name == only {
			return selection{records: []artifact.Record{r}}, nil
		}
	}
	for _, i := range index.Images {
		if i.Name == only {
			return selection{images: []artifact.Image{i}}, nil
		}
	}
	return selection{}, fmt.Errorf("%w: %.300q", ErrUnlisted, only)
}

func (v *verifier) files(index *artifact.Manifest, what selection, only string) (string, error) {
	required := func(suffix string) bool {
		return suffix == spdxSuffix && v.policy.Requires(policy.SPDX) || suffix == provenanceSuffix ||
			suffix == resultSuffix && v.policy.Requires(policy.TestResult) || suffix == vexSuffix && v.policy.Requires(policy.VEX)
	}
	want := listing(what.records, only == "" && v.dir.has(binFolder), required)
	v.listImages(want, what.images, required)
	if err := v.listRebuilds(want, what.names()); err != nil {
		return "", err
	}
	if only == "" {
		if err := v.dir.compare(want); err != nil {
			return "", err
		}
		if err := errors.Join(v.notes(), v.publicKey()); err != nil {
			return "", err
		}
	}
	if only != "" && !v.dir.has(sumsName) {
		return "1 artifact, by the index alone", nil
	}
	data, err := v.dir.read(sumsName, maxStatement)
	if err != nil {
		return "", err
	}
	known := map[string]artifact.Digest{}
	for _, r := range index.Artifacts {
		known[r.Name] = r.Digest
		for _, f := range r.Documents {
			known[f.Name] = f.Digest
		}
	}
	for _, i := range index.Images {
		known[i.Name] = i.Digest
		for _, f := range i.Documents {
			known[f.Name] = f.Digest
		}
	}
	if err := checkSums(data, known, what.names()); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d artifacts", len(what.names())), nil
}
