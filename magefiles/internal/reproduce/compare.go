package reproduce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
	"palisade/magefiles/internal/diffoscope"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/repro"
)

// maxStatement bounds a statement that is read, and a bundle, in bytes.
const maxStatement = 64 << 20

// measured is the digest of each thing that s names, as a build left it in root;
// what is not there has none.
func (s Said) measured(ctx context.Context, root *os.Root, file string) (map[string]artifact.Digest, error) {
	inside := map[string]artifact.Digest{}
	if s.Image != nil {
		var err error
		if inside, err = digestsOfImage(ctx, root, file, s.Image.BuildDefinition.ExternalParameters.Component); err != nil {
			return nil, err
		}
	}
	all := map[string]artifact.Digest{}
	for _, c := range s.Given.Compare {
		if d, is := inside[c.Name]; is {
			all[c.Name] = d
			continue
		}
		name := c.Name
		if s.Archive != nil && slices.ContainsFunc(s.Archive.Subject[1:], func(sub intoto.Subject) bool { return sub.Name == c.Name }) {
			e := s.Archive.BuildDefinition.ExternalParameters
			name = path.Join(dist.BinDir(artifact.Record{Platform: e.Platform, Variant: e.Variant}), path.Base(name))
		}
		d, err := digestOf(root, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		all[c.Name] = d
	}
	return all, nil
}

func digestOf(root *os.Root, name string) (artifact.Digest, error) {
	f, err := openRegular(root, name)
	if err != nil {
		return artifact.Digest{}, err
	}
	defer f.Close()
	d, _, err := artifact.DigestReader(f)
	return d, err
}

// openRegular opens a regular file; a link and a pipe are none.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return root.Open(name)
}

func readFile(root *os.Root, name string, most int64) ([]byte, error) {
	f, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return data, err
}

// digestsOfImage are those of the index and the manifests in a layout, by the
// names that provenance has them by.
func digestsOfImage(ctx context.Context, root *os.Root, file, component string) (map[string]artifact.Digest, error) {
	f, err := openRegular(root, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	layout, err := ocilayout.Open(ctx, f, info.Size(), ocilayout.Visitor{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all := map[string]artifact.Digest{component: layout.Digest}
	for _, i := range layout.Images {
		all[component+"/"+i.Platform.Slug()] = i.Digest
	}
	return all, nil
}

// A Result is what became of one target.
type Result struct {
	Name        string
	Digest      artifact.Digest    // of the file, or of the index of an image in a registry, as it was given
	Changes     []Change           // of the definition
	Differs     []string           // what has another digest, by the names that the provenance has it by, sorted
	Differences []repro.Difference // between the files, where both could be looked at
	More        []string           // lines for people: of whatever else could explain it

	rebuilt []map[string]artifact.Digest // of each Said of the target
}

// Equal reports whether what was rebuilt is what was given, and was built as that
// was.
func (r Result) Equal() bool { return len(r.Changes) == 0 && len(r.Differs) == 0 }

// A comparison compares targets with what was rebuilt.
type comparison struct {
	there      string // where that lies
	diffoscope diffoscope.Tool
	rebuilder  provenance.Builder
}

// compare compares one target.
func (c comparison) compare(ctx context.Context, t Target) (Result, error) {
	r := Result{Name: t.Name}
	var err error
	if r.Digest, err = artifact.ParseDigest("sha256:" + t.Said[0].Given.Subject[0].Digest["sha256"]); err != nil {
		return r, err
	}
	root, err := os.OpenRoot(c.there)
	if err != nil {
		return r, err
	}
	defer root.Close()
	statement, err := readFile(root, t.file()+provenanceSuffix, maxStatement)
	if errors.Is(err, fs.ErrNotExist) { // the build went well, and is of something else
		r.Differs = []string{shown(t.file())}
		r.More = []string{line("nothing that is called so comes of what its provenance names")}
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("reading the provenance of what was rebuilt: %w", err)
	}
	rebuilt, err := Read(statement)
	if err != nil {
		return r, fmt.Errorf("reading the provenance of what was rebuilt: %w", err)
	}
	for _, s := range t.Said {
		for _, change := range s.changes(rebuilt) {
			if !slices.Contains(r.Changes, change) {
				r.Changes = append(r.Changes, change)
			}
		}
		measured, err := s.measured(ctx, root, t.file())
		if err != nil {
			return r, fmt.Errorf("looking at what was rebuilt: %w", err)
		}
		r.rebuilt = append(r.rebuilt, measured)
		for _, want := range s.Given.Compare {
			if measured[want.Name].Hex() != want.Digest["sha256"] && !slices.Contains(r.Differs, want.Name) {
				r.Differs = append(r.Differs, want.Name)
			}
		}
	}
	slices.Sort(r.Differs)
	if r.Equal() {
		return r, nil
	}
	if err := c.explain(ctx, t, &r); err != nil {
		return r, err
	}
	for i, name := range r.Differs {
		r.Differs[i] = shown(name)
	}
	if there, here := toolsOf(t.Said[0].details().Builder), toolsOf(c.rebuilder); there != here {
		r.More = append(r.More, line("another version of the tool may make something else: it was "+there+" there, and is "+here+" here"))
	}
	return r, nil
}

// toolsOf are the tools that a builder consists of, for a line.
func toolsOf(b provenance.Builder) string {
	var all []string
	for _, d := range b.Dependencies {
		for _, algorithm := range slices.Sorted(maps.Keys(d.Digest)) {
			all = append(all, d.Name+" ("+algorithm+" "+d.Digest[algorithm]+")")
		}
	}
	return strings.Join(all, ", ")
}

const provenanceSuffix = ".provenance.json"

// explain looks for the differences of the files, one after the other: first of
// the one that the others tell of.
func (c comparison) explain(ctx context.Context, t Target, r *Result) error {
	if t.Folder == "" {
		return c.explainElsewhere(ctx, t, r)
	}
	root, err := os.OpenRoot(t.Folder)
	if err != nil {
		return err
	}
	defer root.Close()
	isOne := func(s intoto.Subject) bool { return s.Name == t.file() }
	all := t.Said[0].Given.Compare
	if i := slices.IndexFunc(all, isOne); i >= 0 {
		all = append([]intoto.Subject{all[i]}, slices.DeleteFunc(slices.Clone(all), isOne)...)
	}
	for _, want := range all {
		name := want.Name
		if !slices.Contains(r.Differs, name) || !t.isFile(name) {
			continue
		}
		d, err := digestOf(root, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.More = append(r.More, shown(name)+" does not lie in "+t.Folder+", so it is not looked into")
			continue
		case err != nil:
			return err
		case d.Hex() != want.Digest["sha256"]:
			return fmt.Errorf("%s is no longer what was verified: verify it again", filepath.Join(t.Folder, name))
		}
		here, there := filepath.Join(t.Folder, filepath.FromSlash(name)), filepath.Join(c.there, filepath.FromSlash(name))
		if _, err := os.Stat(there); err != nil {
			continue // its digest is missing, and that is what there is to say
		}
		found, err := repro.Compare(here, there)
		if err != nil {
			return err
		}
		r.Differences = append(r.Differences, found...)
		if name == t.file() {
			said, err := c.diffoscope.Compare(ctx, here, there)
			if err != nil {
				return err
			}
			for one := range strings.Lines(said.Text) {
				r.More = append(r.More, strings.TrimSuffix(one, "\n"))
			}
			if said.Note != "" {
				r.More = append(r.More, line(said.Note))
			}
		}
	}
	return ctx.Err()
}

// isFile reports whether that name is of the archive or image, or of a document
// of it: the others are of what is inside of these, or of another target.
func (t Target) isFile(name string) bool {
	return name == t.file() || slices.ContainsFunc(t.Said[0].details().Byproducts, func(d intoto.Resource) bool { return d.Name == name })
}

func (c comparison) explainElsewhere(ctx context.Context, t Target, r *Result) error {
	there := filepath.Join(c.there, t.file())
	if _, err := os.Stat(there); t.Explain == nil || err != nil {
		return nil
	}
	lines, err := t.Explain(ctx, there)
	if err != nil {
		return fmt.Errorf("telling what changed: %w", err)
	}
	for _, one := range lines {
		r.More = append(r.More, line(one))
	}
	return nil
}

// attest states for each Said of a target that it was rebuilt.
func (r Result) attest(t Target, run rebuild.Run, executor rebuild.Variation) ([]Attested, error) {
	if executor.Why != "" {
		run.NotVaried = append(slices.Clone(run.NotVaried), executor)
	} else {
		run.Varied = append(slices.Clone(run.Varied), executor)
	}
	var all []Attested
	for n, s := range t.Said {
		run.Rebuilt = r.rebuilt[n]
		statement, err := rebuild.Statement(s.Given, run)
		if err != nil {
			return nil, err
		}
		data, err := intoto.Marshal(statement)
		if err != nil {
			return nil, err
		}
		// In a registry it is known by its digest alone, and what is said of it as well.
		of := s.Given.Subject[0].Digest["sha256"]
		if t.Folder != "" {
			of = s.Given.Subject[0].Name
		}
		all = append(all, Attested{Target: t.Name, Folder: artifact.RebuildsDir(of), Statement: data, Provenance: s.bundle})
	}
	return all, nil
}
