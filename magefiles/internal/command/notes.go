package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/releases"
	"palisade/attestations/spdx"
	"palisade/attestations/verify"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/notes"
	"palisade/patches"
	"palisade/recipes"
)

// A NotesRequest says of what to write notes. Path is the folder of the results, by
// default dist/. Since is the release before: its folder, or its release.json, with
// the SPDX documents beside it; without it what changed is not said. First says that
// there is none.
type NotesRequest struct {
	Path, Since string
	First       bool
}

// NewNotesRequest takes flags, as NewVerifyRequest does.
func NewNotesRequest(path, since *string, first *bool) (req NotesRequest, err error) {
	err = take(flag{"path", path, &req.Path}, flag{"since", since, &req.Since})
	req.First = first != nil && *first
	return req, err
}

// Notes prints the release notes of results. It builds and verifies nothing: what it
// reads is held against release.json alone, and against that of the release before.
func Notes(_ context.Context, req NotesRequest) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	if req.First && req.Since != "" {
		return outcome(fmt.Errorf("%w: -since names a release before, and -first says that there is none: leave one out", config.ErrUsage))
	}
	s := notesSource{dir: req.Path, since: req.Since, first: req.First, patches: os.DirFS(filepath.Join(cfg.Root, "patches"))}
	if s.dir == "" {
		s.dir = cfg.Dist
	}
	d, err := recipes.LoadDistribution(os.DirFS(filepath.Join(cfg.Root, "recipes")))
	if err != nil {
		return err
	}
	if d.Release != nil {
		s.release = d.Release.Version
	}
	data, err := s.markdown()
	if err != nil {
		return outcome(err)
	}
	if _, err := os.Stdout.Write(data); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// A notesSource is where all is that notes are made of.
type notesSource struct {
	dir             string // of the results, whose release.json says what they are
	release, commit string // that this is, "" if not known
	since           string // folder or release.json of the release before, "" if not at hand
	first           bool   // there is none before
	patches         fs.FS  // rooted at patches/
}

// markdown reads what the notes are made of, and writes them.
func (s notesSource) markdown() ([]byte, error) {
	in := notes.Input{Release: s.release, Commit: s.commit, First: s.first}
	var err error
	if in.New, _, err = manifestIn(s.dir); err != nil {
		return nil, err
	}
	in.Distribution = in.New.Distribution
	if in.Summaries, err = summaries(s.patches); err != nil {
		return nil, err
	}
	in.Audits, in.Known = map[string]notes.Audit{}, map[string]vex.Document{}
	for _, r := range in.New.Artifacts {
		if err := s.said(r, &in); err != nil {
			return nil, err
		}
	}
	if s.since != "" {
		if err := s.compared(&in); err != nil {
			return nil, err
		}
	}
	return notes.Markdown(in)
}

// manifestIn reads the release.json of a folder, or that file, and says where it lies
// and what its digest is.
func manifestIn(name string) (m *artifact.Manifest, at located, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, at, fmt.Errorf("%w: looking for a release: %w", config.ErrUsage, err)
	}
	at.dir = name
	if !info.IsDir() {
		at.dir = filepath.Dir(name)
	} else {
		name = filepath.Join(name, dist.Index)
	}
	data, err := readSmall(name, artifact.MaxManifestSize)
	if err != nil {
		return nil, at, fmt.Errorf("%w: there is no release in %s: %w", config.ErrUsage, at.dir, err)
	}
	at.digest = artifact.DigestBytes(data)
	if m, err = artifact.ParseManifest(bytes.NewReader(data)); err != nil {
		return nil, at, fmt.Errorf("reading %s: %w", name, err)
	}
	return m, at, nil
}

// located is where a release.json lies.
type located struct {
	dir    string
	digest artifact.Digest
}

// summaries are the first lines of all patches that there are, by their digests: of
// one that was dropped only as long as the version is there that it was for.
func summaries(fsys fs.FS) (map[artifact.Digest]string, error) {
	all, err := patches.All(fsys)
	if err != nil {
		return nil, err
	}
	first := map[artifact.Digest]string{}
	for _, s := range all {
		for _, p := range s.Patches {
			first[p.Digest] = p.Header.Summary()
		}
	}
	return first, nil
}

// said reads what is said of an artifact, if there is anything.
func (s notesSource) said(r artifact.Record, in *notes.Input) error {
	result, err := statementIn(s.dir, dist.TestResult(r), intoto.TestResult)
	if err == nil {
		var tests verify.Tests
		if tests, err = verify.ReadTests(result.Predicate); err != nil {
			return fmt.Errorf("reading %s: %w", dist.TestResult(r), err)
		}
		a := notes.Audit{Result: "PASSED", Passed: len(tests.Passed), Failed: slices.Sorted(slices.Values(tests.Failed)), Skipped: tests.Skipped}
		if len(a.Failed) > 0 || a.Passed == 0 {
			a.Result = "FAILED"
		}
		in.Audits[r.Name] = a
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	known, err := statementIn(s.dir, dist.VEX(r), vex.PredicateType)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	d, err := vex.Parse(known)
	if err == nil {
		err = d.Check(r, in.Distribution)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", dist.VEX(r), err)
	}
	in.Known[r.Name] = d
	return nil
}

// statementIn reads a statement, of that predicate type.
func statementIn(dir, name, predicateType string) (intoto.Statement, error) {
	data, err := readSmall(filepath.Join(dir, filepath.FromSlash(name)), maxNoted)
	if err != nil {
		return intoto.Statement{}, err
	}
	st, err := intoto.Parse(data)
	if err == nil && st.PredicateType != predicateType {
		err = fmt.Errorf("it is a statement of type %.200q, not %s", st.PredicateType, predicateType)
	}
	if err != nil {
		return st, fmt.Errorf("reading %s: %w", name, err)
	}
	return st, nil
}

// maxNoted bounds a document that notes are made of, in bytes.
const maxNoted = 64 << 20

// compared holds the documents of archives against those of the release before.
func (s notesSource) compared(in *notes.Input) error {
	old, at, err := manifestIn(s.since)
	if err != nil {
		return fmt.Errorf("reading the release before: %w", err)
	}
	if old.Distribution != in.Distribution {
		return fmt.Errorf("%w: the release before is of %.60q, and this one of %.60q", config.ErrUsage, old.Distribution, in.Distribution)
	}
	in.Old = old
	if in.Since, err = releasedAs(at); err != nil {
		return err
	}
	for _, r := range in.New.Artifacts {
		i := slices.IndexFunc(old.Artifacts, func(o artifact.Record) bool {
			return o.Component == r.Component && o.Platform == r.Platform && o.Variant == r.Variant
		})
		if i < 0 || old.Artifacts[i].Digest == r.Digest {
			continue
		}
		was, err := documentOf(at.dir, old.Artifacts[i])
		if err != nil {
			return fmt.Errorf("reading the release before: %w", err)
		}
		is, err := documentOf(s.dir, r)
		if err != nil {
			return err
		}
		in.Changes = append(in.Changes, notes.Changed{Archive: r.Name, Changes: spdx.Diff(was, is)})
	}
	return nil
}

// releasedAs is the version of a release that the index of releases beside its folder
// has, if there is one.
func releasedAs(at located) (string, error) {
	data, err := readSmall(filepath.Join(at.dir, "..", releases.FileName), releases.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("reading the index of releases: %w", err)
	}
	index, err := releases.Parse(data)
	if err != nil {
		return "", err
	}
	for _, r := range index.Releases {
		if r.Manifest == at.digest {
			return r.Version, nil
		}
	}
	return "", nil
}

// documentOf reads the document of an archive, which has to be the one that its
// record names.
func documentOf(dir string, r artifact.Record) (*spdx.Document, error) {
	name := dist.Document(r, "")
	i := slices.IndexFunc(r.Documents, func(f artifact.File) bool { return f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%s has no SPDX document", r.Name)
	}
	data, err := readSmall(filepath.Join(dir, filepath.FromSlash(name)), maxNoted)
	if err != nil {
		return nil, fmt.Errorf("%w: reading an SPDX document: %w", config.ErrUsage, err)
	}
	if got := artifact.DigestBytes(data); got != r.Documents[i].Digest {
		return nil, failure{fmt.Errorf("%s is not the document that release.json names: its digest is %s, not %s", name, got, r.Documents[i].Digest), statusRefused}
	}
	d, err := spdx.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return d, nil
}
