package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/verify"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// ErrForeign is what the refusal of a run wraps that is not of the release.
var ErrForeign = errors.New("the token is of another run than the release's")

// A Source is the commit that a release is of.
type Source struct {
	Commit, Tag string
	Repository  string          // git+https://…; empty if it has no public address
	Settings    artifact.Digest // of distribution.yaml
}

// Claimed refuses (ErrForeign) the token of a run that is not of the release, as
// early as it can be told: what it says of addresses, the certificate authority may
// write in another way.
func (s Source) Claimed(w provenance.Workflow) error { return s.of(w, pathOf) }

// Witnessed refuses (ErrForeign) a run, as a certificate has it, that is not of the
// release.
func (s Source) Witnessed(w provenance.Workflow) error {
	return s.of(w, func(address string) string { return address })
}

func (s Source) of(w provenance.Workflow, address func(string) string) error {
	there := strings.TrimSuffix(strings.TrimPrefix(s.Repository, "git+"), ".git")
	switch {
	case s.Tag == "":
		return fmt.Errorf("%w: the plan is a rehearsal's, which no workflow vouches for: plan the release from its tag", ErrForeign)
	case w.Commit != s.Commit:
		return fmt.Errorf("%w: it is of commit %.80q, the plan of %s", ErrForeign, w.Commit, s.Commit)
	case w.Ref != "refs/tags/"+s.Tag:
		return fmt.Errorf("%w: it is of %.200q, the plan of the tag %s: begin the workflow by pushing that", ErrForeign, w.Ref, s.Tag)
	case s.Repository != "" && address(w.Repository) != address(there):
		return fmt.Errorf("%w: it is of the repository %.200q, the plan of %.200q", ErrForeign, w.Repository, there)
	}
	return nil
}

// pathOf is an address without its host.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Path
}

// A Who is who vouches for provenance.
type Who struct {
	Builder  provenance.Builder // as the workflow: its id is that of the workflow
	Workflow provenance.Workflow
	Source   Source
}

// maxStatement bounds an observation, in bytes.
const maxStatement = 64 << 20

// Artifact is the provenance of an artifact as w vouches for it. observed is what
// the job that built it left, unsigned: of it nothing is taken but what nobody else
// can know, when it began and ended and in which state caches were; and it has to
// be of the same commit. The rest is that of the record, which was held before.
func (w Who) Artifact(observed []byte, r artifact.Record) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("%s: %w: %w", dist.Provenance(r), ErrObserved, err)
	}
	s, err := intoto.Parse(observed)
	if err != nil {
		return fail(err)
	}
	p, err := provenance.Parse(s)
	if err == nil {
		err = p.Check(r)
	}
	if err != nil {
		return fail(err)
	}
	run, err := w.run(p.Run())
	if err != nil {
		return fail(err)
	}
	made, err := provenance.Statement(r, w.Builder, run)
	if err != nil {
		return nil, err
	}
	return intoto.Marshal(made)
}

// Image is the same of an image that was made of those artifacts.
func (w Who) Image(observed []byte, i artifact.Image, records []artifact.Record) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("%s: %w: %w", dist.ImageProvenance(i), ErrObserved, err)
	}
	s, err := intoto.Parse(observed)
	if err != nil {
		return fail(err)
	}
	p, err := provenance.ParseImage(s)
	if err == nil {
		err = p.Check(i, records)
	}
	if err != nil {
		return fail(err)
	}
	run, err := w.run(p.Run())
	if err != nil {
		return fail(err)
	}
	made, err := provenance.ImageStatement(i, records, w.Builder, run)
	if err != nil {
		return nil, err
	}
	return intoto.Marshal(made)
}

// run is what was observed of a run, as w vouches for it.
func (w Who) run(seen provenance.Run) (provenance.Run, error) {
	switch {
	case seen.Workflow != nil:
		return seen, errors.New("it names a workflow, which only the job that signs can")
	case seen.Repository.Commit != w.Source.Commit || !seen.Repository.Clean:
		return seen, fmt.Errorf("it was built from commit %.80q, as committed: %t; the release is of %s", seen.Repository.Commit, seen.Repository.Clean, w.Source.Commit)
	case seen.Distribution != w.Source.Settings:
		return seen, fmt.Errorf("it was built with another distribution.yaml, %s, than that of this checkout, %s", seen.Distribution, w.Source.Settings)
	}
	seen.InvocationID, seen.Workflow = w.Workflow.Run, &w.Workflow
	seen.Repository.URI = w.Workflow.Source()
	return seen, nil
}

// Release has w vouch for every artifact and image of the release in dir, in place
// of those who built: each provenance is written anew. observed reads what they
// left. Nothing is signed here.
func (w Who) Release(ctx context.Context, dir string, m *artifact.Manifest, observed func(name string, max int64) ([]byte, error)) error {
	write := func(name string, make func(observed []byte) ([]byte, error)) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := observed(name, maxStatement)
		if err == nil {
			data, err = make(data)
		}
		if err != nil {
			return err
		}
		file := filepath.Join(dir, name)
		if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, data) {
			return nil
		}
		return store.WriteFile(file, 0o644, func(out io.Writer) error {
			_, err := out.Write(data)
			return err
		})
	}
	for _, r := range m.Artifacts {
		if err := write(dist.Provenance(r), func(data []byte) ([]byte, error) { return w.Artifact(data, r) }); err != nil {
			return fmt.Errorf("attesting: %w", err)
		}
	}
	for _, i := range m.Images {
		if err := write(dist.ImageProvenance(i), func(data []byte) ([]byte, error) { return w.Image(data, i, m.Artifacts) }); err != nil {
			return fmt.Errorf("attesting: %w", err)
		}
	}
	return nil
}

// Inside looks into the archive of an artifact in root: it holds the files of its
// record, and each binary says of itself what that does.
func Inside(ctx context.Context, root *os.Root, r artifact.Record) error {
	f, err := root.Open(r.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	return verify.Archive(ctx, r, f)
}
