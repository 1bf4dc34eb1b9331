package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/magefiles/internal/audit"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
	"palisade/magefiles/internal/store"
)

// A ReleaseAssembleRequest is a StepRequest, of which From is a folder with what
// release:build and release:audit handed over of every shard. Database is where
// known vulnerabilities are looked for, as "mage vuln" has it; Since is the folder
// of the release before, or its release.json, for the notes.
type ReleaseAssembleRequest struct {
	StepRequest
	Database, Since string
}

// NewReleaseAssembleRequest takes flags, as NewVerifyRequest does.
func NewReleaseAssembleRequest(plan, from, digests, output, database, since *string) (req ReleaseAssembleRequest, err error) {
	err = take(append(req.flags(plan, from, digests, output), flag{"database", database, &req.Database}, flag{"since", since, &req.Since})...)
	return req, err
}

// ReleaseAssemble puts the shards together, makes the images, looks for known
// vulnerabilities, writes the notes, and hands over the whole release, of which
// nothing is signed yet. What is missing, there twice, or not of the plan is refused
// with status 3.
func ReleaseAssemble(ctx context.Context, req ReleaseAssembleRequest) error {
	s, err := openStep(ctx, req.StepRequest, handover.Assemble, "")
	if err != nil {
		return stepped(err)
	}
	built, err := s.inputs(ctx, handover.Build)
	if err != nil {
		return stepped(err)
	}
	defer closeAll(built)
	audited, err := s.inputs(ctx, handover.Audit)
	if err != nil {
		return stepped(err)
	}
	defer closeAll(audited)
	h := s.header(slices.Concat(built, audited)...)
	if done, err := s.done(ctx, h); done || err != nil {
		return err
	}
	work, leave, err := s.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	files, err := s.assemble(ctx, work, built, audited, req)
	if err != nil {
		return stepped(err)
	}
	return stepped(s.hand(ctx, h, work, files))
}

// assemble makes the release in work, and says which files are handed over.
func (s *step) assemble(ctx context.Context, work *os.Root, built, audited []*handover.File, req ReleaseAssembleRequest) (func(name string) bool, error) {
	if err := s.paired(built, audited); err != nil {
		return nil, err
	}
	var parts []release.Part
	for _, f := range built {
		m, err := manifestOf(f)
		if err != nil {
			return nil, err
		}
		parts = append(parts, release.Part{Shard: f.Header().Shard, Manifest: *m})
	}
	merged, err := release.Merge(s.plan, parts)
	if err != nil {
		return nil, err
	}
	for i, f := range built {
		if err := s.take(ctx, work, f, shardFiles(parts[i].Manifest.Artifacts)); err != nil {
			return nil, err
		}
	}
	for _, f := range audited {
		if err := s.takeResults(ctx, work, f, parts); err != nil {
			return nil, err
		}
	}
	m, err := s.collect(ctx, work, &merged)
	if err != nil {
		return nil, err
	}
	if err := s.lookForVulnerabilities(ctx, work, req.Database); err != nil {
		return nil, err
	}
	if err := s.writeNotes(work, req.Since); err != nil {
		return nil, err
	}
	return assembledFiles(m), nil
}

// paired refuses a shard whose audit is missing, and an audit of something else.
func (s *step) paired(built, audited []*handover.File) error {
	of := map[artifact.Digest]*handover.File{}
	for _, a := range audited {
		inputs := a.Header().Inputs
		i := slices.IndexFunc(built, func(b *handover.File) bool { return len(inputs) == 1 && b.Digest() == inputs[0] })
		if i < 0 || built[i].Header().Shard != a.Header().Shard {
			return fmt.Errorf("%w: the audit of shard %s is of %v, which is not here: run release:audit of what is", release.ErrForeign, a.Header().Shard, inputs)
		}
		if of[inputs[0]] != nil {
			return fmt.Errorf("%w: the audit of shard %s: leave one of them out", release.ErrDouble, a.Header().Shard)
		}
		of[inputs[0]] = a
	}
	for _, b := range built {
		if of[b.Digest()] == nil {
			return fmt.Errorf("%w: the audit of shard %s: run release:audit -shard=%s", release.ErrMissing, b.Header().Shard, b.Header().Shard)
		}
	}
	return nil
}

// take unpacks what a shard hands over, which has to be what want says, and no
// more. The indexes that it has of its own part are read elsewhere.
func (s *step) take(ctx context.Context, work *os.Root, f *handover.File, want func(name string) bool) error {
	own := func(name string) bool {
		return name == path.Join(handedDist, dist.Index) || name == path.Join(handedDist, dist.Sums)
	}
	for _, file := range f.Header().Files {
		if !want(file.Name) {
			return fmt.Errorf("%w: %.200q, in what release:%s handed over of shard %s", release.ErrForeign, file.Name, f.Header().Step, f.Header().Shard)
		}
	}
	return f.UnpackOnly(ctx, work, func(name string) bool { return !own(name) })
}

// takeResults unpacks the results of the audit of a shard: that of each artifact
// that there are checks for.
func (s *step) takeResults(ctx context.Context, work *os.Root, f *handover.File, parts []release.Part) error {
	shard, results := f.Header().Shard, map[string]bool{}
	for _, p := range parts {
		if p.Shard != shard {
			continue
		}
		for _, r := range p.Manifest.Artifacts {
			name := path.Join(handedDist, dist.TestResult(r))
			results[name] = true
			there := slices.ContainsFunc(f.Header().Files, func(f artifact.File) bool { return f.Name == name })
			if !there && slices.Contains(audit.Components(), r.Component) {
				return fmt.Errorf("%w: the audit of %s, in what release:audit handed over of shard %s", release.ErrMissing, r.Name, shard)
			}
			if err := work.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // of another audit
				return err
			}
		}
	}
	return s.take(ctx, work, f, func(name string) bool { return results[name] })
}

// collect makes a release of the files in work, and the images.
func (s *step) collect(ctx context.Context, work *os.Root, merged *artifact.Manifest) (*artifact.Manifest, error) {
	session, err := s.pipeline(work, true, func(c release.Cell) bool { return true })
	if err != nil {
		return nil, err
	}
	defer session.console.Close()
	d, err := session.collected(ctx, merged)
	if err != nil {
		return nil, err
	}
	if len(s.plan.Images) > 0 {
		if _, err := session.pipeline.Images(ctx, merged.Artifacts); err != nil {
			return nil, err
		}
	}
	m, err := d.Manifest()
	if err != nil {
		return nil, err
	}
	return m, s.plan.Whole(*m)
}

// collected makes a release of artifacts whose files are there.
func (s *session) collected(ctx context.Context, merged *artifact.Manifest) (*dist.Dir, error) {
	cache, err := store.Open(s.config.Cache)
	if err != nil {
		return nil, err
	}
	d, err := dist.OpenCollected(s.config.Dist, s.plan.Distribution.Name, cache)
	if err != nil {
		return nil, err
	}
	return d, d.Collect(ctx, merged)
}

// writeNotes writes the notes of the release into it.
func (s *step) writeNotes(work *os.Root, since string) error {
	since, err := s.sinceOf(since)
	if err != nil {
		return err
	}
	dir := filepath.Join(work.Name(), handedDist)
	data, err := notesSource{
		dir: dir, release: s.plan.Release, commit: s.plan.Commit, since: since,
		first:   s.plan.Previous == nil && s.plan.Tag != "" && since == "", // of a rehearsal it is not known
		patches: os.DirFS(filepath.Join(s.config.Root, "patches")),
	}.markdown()
	if err != nil {
		return err
	}
	return store.WriteFile(filepath.Join(dir, releases.NotesName), 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// handedDatabase is the snapshot of the vulnerability database, below work.
const handedDatabase = handedBeside + "/vulndb"

// assembledFiles are the files of a hand-over of this release.
func assembledFiles(m *artifact.Manifest) func(name string) bool {
	files := map[string]bool{dist.Index: true, dist.Sums: true, releases.NotesName: true}
	for _, r := range m.Artifacts {
		files[dist.TestResult(r)], files[dist.VEX(r)] = true, true
		for _, f := range dist.Beside(r) {
			files[f.Name] = true
		}
	}
	for _, i := range m.Images {
		for _, f := range dist.BesideImage(i) {
			files[f.Name] = true
		}
	}
	return func(name string) bool {
		in, ok := strings.CutPrefix(name, handedDist+"/")
		return ok && files[in] || strings.HasPrefix(name, handedDatabase+"/")
	}
}
