package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/dist"
)

// imageTasks are the bundles of an image: of the file, as of any artifact, and
// of the index and each manifest, as registries carry them.
func (r *release) imageTasks(i artifact.Image) []task {
	subjects := provenance.ImageSubjects(i)
	all := []task{
		beside(i.Name, func() (signing.Content, error) { return signing.File(i.Digest) }),
		beside(dist.ImageDocument(i), func() (signing.Content, error) {
			return r.describes(dist.ImageDocument(i), i.Documents, subjects[0])
		}),
		beside(dist.ImageProvenance(i), func() (signing.Content, error) {
			data, _, err := r.imageProvenance(i)
			return signing.Statement(data), err
		}),
	}
	carried := func(of intoto.Subject, d artifact.Digest, what dist.Carried, read func() (signing.Content, error)) {
		all = append(all, task{of: i.Name + ": " + of.Name, bundle: dist.ImageBundle(i, d, what), read: read})
	}
	digests := []artifact.Digest{i.Index}
	for _, p := range i.Platforms {
		digests = append(digests, p.Manifest)
	}
	for n, d := range digests {
		of := subjects[1+n]
		carried(of, d, dist.CarriedSignature, func() (signing.Content, error) { return state(of, intoto.Signature, []byte("{}")) })
		carried(of, d, dist.CarriedDocument, func() (signing.Content, error) { return r.describes(dist.ImageDocument(i), i.Documents, of) })
		carried(of, d, dist.CarriedProvenance, func() (signing.Content, error) { return r.provenanceAbout(i, d) })
		if n == 0 {
			continue // an audit runs the binary of one platform
		}
		rec, found := r.recordOf(i.Platforms[n-1])
		if found && r.has(dist.TestResult(rec)) {
			carried(of, d, dist.CarriedTestResult, func() (signing.Content, error) { return r.resultAbout(rec, of) })
		}
		if found && r.has(dist.VEX(rec)) {
			carried(of, d, dist.CarriedVEX, func() (signing.Content, error) { return r.vulnerabilitiesAbout(rec, of) })
		}
	}
	for n := range all {
		all[n].image = i.Name
	}
	return all
}

func (r *release) recordOf(p artifact.PlatformImage) (artifact.Record, bool) {
	n := slices.IndexFunc(r.records, func(rec artifact.Record) bool { return rec.Name == p.Artifact })
	if n < 0 {
		return artifact.Record{}, false
	}
	return r.records[n], true
}

// imageProvenance is that of an image as it lies there.
func (r *release) imageProvenance(i artifact.Image) ([]byte, intoto.Statement, error) {
	name := dist.ImageProvenance(i)
	data, statement, err := r.statement(name)
	if err != nil {
		return nil, intoto.Statement{}, err
	}
	p, err := provenance.ParseImage(statement)
	if err == nil {
		err = p.Check(i, r.records)
	}
	if err == nil && len(p.Subject) == 1 {
		err = provenance.ErrSubject
	}
	if err != nil {
		return nil, intoto.Statement{}, fmt.Errorf("%w: %s: %w: make the image again, or take it anew", ErrMismatch, name, err)
	}
	return data, statement, nil
}

// provenanceAbout is the provenance of an image about one of its digests.
func (r *release) provenanceAbout(i artifact.Image, d artifact.Digest) (signing.Content, error) {
	_, statement, err := r.imageProvenance(i)
	if err != nil {
		return signing.Content{}, err
	}
	if statement, err = provenance.About(statement, d); err != nil {
		return signing.Content{}, err
	}
	return state(statement.Subject[0], statement.PredicateType, statement.Predicate)
}

// resultAbout is the test result of a binary, about the image that holds it:
// the binary, which was its subject, is named in the configuration.
func (r *release) resultAbout(rec artifact.Record, of intoto.Subject) (signing.Content, error) {
	fail := func(err error) (signing.Content, error) {
		return signing.Content{}, fmt.Errorf("%s: %w", dist.TestResult(rec), err)
	}
	_, statement, err := r.audited(rec)
	if err != nil {
		return signing.Content{}, err
	}
	var predicate map[string]json.RawMessage
	if err := json.Unmarshal(statement.Predicate, &predicate); err != nil {
		return fail(err)
	}
	var configuration []json.RawMessage
	if err := json.Unmarshal(predicate["configuration"], &configuration); err != nil {
		return fail(err)
	}
	binary, err := json.Marshal(intoto.Resource{Name: statement.Subject[0].Name, Digest: statement.Subject[0].Digest})
	if err != nil {
		return fail(err)
	}
	if predicate["configuration"], err = json.Marshal(append(configuration, binary)); err != nil {
		return fail(err)
	}
	data, err := json.Marshal(predicate)
	if err != nil {
		return fail(err)
	}
	return state(of, intoto.TestResult, data)
}

// imagesHeld holds the images against the index, and those of which something
// is to be signed down to the last layer: what is signed is what is in the file.
func (r *release) imagesHeld(ctx context.Context, all []task, pending []bool) error {
	return inParallel(ctx, len(r.images), func(n int) error {
		whole := false
		for k, t := range all {
			whole = whole || pending[k] && t.image == r.images[n].Name
		}
		return r.imageHeld(ctx, r.images[n], whole)
	})
}

func (r *release) imageHeld(ctx context.Context, i artifact.Image, whole bool) error {
	f, err := r.open(i.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := held(f, i.Name, i.Digest, i.Size); err != nil || !whole {
		return err
	}
	layout, err := ocilayout.Open(ctx, f, i.Size, ocilayout.Visitor{})
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMismatch, i.Name, err)
	}
	same := layout.Digest == i.Index && slices.EqualFunc(layout.Images, i.Platforms, func(x ocilayout.Image, y artifact.PlatformImage) bool {
		return x.Digest == y.Manifest && x.Config.Digest == y.Config && x.Platform == y.Platform
	})
	if !same {
		return fmt.Errorf("%w: %s holds the index %s, or other images than that has: make the image again, or take it anew", ErrMismatch, i.Name, layout.Digest)
	}
	return nil
}

// folders makes the folder called name, and those above it, of which none may
// be a link.
func (r *release) folders(name string) error {
	if name == "." {
		return nil
	}
	if err := r.folders(path.Dir(name)); err != nil {
		return err
	}
	if err := r.root.Mkdir(name, 0o755); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := r.root.Lstat(name); err != nil || !info.IsDir() {
		return fmt.Errorf("%w: %s is not a folder (%v): remove it", ErrMismatch, name, err)
	}
	return nil
}

// tidy removes what lies among the bundles of an image and is none of them: of
// a former manifest, or of an audit that is there no more.
func (r *release) tidy(all []task) error {
	ours := map[string]bool{}
	for _, t := range all {
		for name := t.bundle; name != "."; name = path.Dir(name) {
			ours[name] = true
		}
	}
	for _, i := range r.images {
		if err := r.folders(i.BundlesDir()); err != nil { // through a link nothing is removed
			return err
		}
		err := fs.WalkDir(r.root.FS(), i.BundlesDir(), func(name string, e fs.DirEntry, err error) error {
			if err != nil || ours[name] {
				return err
			}
			if err := r.root.RemoveAll(name); err != nil {
				return err
			}
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
