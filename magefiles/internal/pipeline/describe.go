package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// describe is the record of an archive, with the SPDX documents that it writes
// of it and of each binary in it.
func (p *Pipeline) describe(ctx context.Context, a packed) (artifact.Record, store.Entry, error) {
	rec, err := p.record(ctx, a)
	fail := func(err error) (artifact.Record, store.Entry, error) {
		return artifact.Record{}, store.Entry{}, fmt.Errorf("describing %s: %w", a.File.Name, err)
	}
	if err != nil {
		return fail(err)
	}
	key, err := p.documentsKey(rec, a.licensed.Source.Tree.Recipe())
	if err != nil {
		return fail(err)
	}
	_, entry, _, err := store.Do(ctx, p.store, key, func(ctx context.Context, out string) (struct{}, error) {
		in, err := p.input(ctx, rec, a)
		if err != nil {
			return struct{}{}, err
		}
		document, err := spdx.Describe(in)
		if err == nil {
			err = writeDocument(out, dist.Document(rec, ""), document)
		}
		for _, b := range rec.Binaries {
			if err != nil {
				break
			}
			if document, err = spdx.DescribeBinary(in, b.Name); err == nil {
				err = writeDocument(out, dist.Document(rec, b.Name), document)
			}
		}
		return struct{}{}, err
	})
	if err != nil {
		return fail(err)
	}
	for _, f := range entry.Files {
		rec.Documents = append(rec.Documents, artifact.File{Name: f.Name, Size: f.Size, Digest: f.Digest})
	}
	return rec, entry, nil
}

// documentsKey is the digest of everything that decides what documents say:
// of what a record names, the content is in it by its hash.
func (p *Pipeline) documentsKey(rec artifact.Record, r *recipes.Recipe) (store.Key, error) {
	form, err := (&artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: p.plan.Distribution.Name, Artifacts: []artifact.Record{rec}}).Encode()
	return store.NewKey("describe-1", append([]string{p.tool.String(), string(form)}, p.published(r)...)...), err
}

func writeDocument(dir, name string, d *spdx.Document) error {
	data, err := d.Encode()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// input is everything that documents are made of.
func (p *Pipeline) input(ctx context.Context, rec artifact.Record, a packed) (spdx.Input, error) {
	r, d := a.licensed.Source.Tree.Recipe(), p.plan.Distribution
	in := spdx.Input{
		Publisher: spdx.Publisher{Name: d.Publisher, Distribution: d.Name, Namespace: d.Namespace, Licence: d.Licence},
		Component: spdx.Component{Description: r.Description, Homepage: r.Homepage, Originator: r.Originator, CPE: r.CPE},
		Record:    rec,
		Packages:  map[string]spdx.Package{},
	}
	for _, l := range a.licensed.Links {
		links := spdx.Links{Binary: l.Binary}
		for _, m := range l.Modules {
			links.Modules = append(links.Modules, spdx.Link{Module: m.Module, Packages: m.Packages, Requires: m.Requires})
		}
		in.Links = append(in.Links, links)
	}
	for _, v := range a.licensed.Verdicts {
		in.Packages[v.PURL] = described(v)
	}
	for _, s := range a.licensed.Source.Sealed {
		changed := in.Packages[spdx.GoPURL(s.From.Path, s.From.Version.Version)]
		changed.Licence = licences.Combine([]string{changed.Licence, d.Licence})
		changed.SHA256, changed.SHA512 = "", "" // upstream's zip file is not what was compiled
		in.Packages[spdx.GoPURL(s.To.Path, s.To.Version.Version)] = changed
	}
	if err := p.describeTools(ctx, in.Packages, rec.Toolchains); err != nil {
		return spdx.Input{}, err
	}
	return in, p.hash(ctx, &in, a)
}

// describeTools adds what the source of every toolchain says. A toolchain is
// in no artifact, so a licence that cannot be told refuses nothing.
func (p *Pipeline) describeTools(ctx context.Context, packages map[string]spdx.Package, tools []artifact.Tool) error {
	for _, t := range tools {
		found, err := p.toolLicence(ctx, t)
		if err != nil {
			return err
		}
		packages[spdx.ToolPURL(t)] = spdx.Package{
			Licence: found.Expression, Declared: found.Declared, Copyright: found.Copyright,
			Supplier: found.Author, Homepage: found.Homepage, SHA256: found.SHA256, SHA512: found.SHA512,
		}
	}
	return nil
}

func (p *Pipeline) toolLicence(ctx context.Context, t artifact.Tool) (licences.Found, error) {
	if t.Zip != nil { // a Go toolchain
		found, err := p.goLicence(ctx, t)
		return found.For([]string{""}), err
	}
	pkg := artifact.Package{Name: strings.TrimSuffix(t.Package, "@"+t.Version), Version: t.Version, Integrity: t.Hash}
	return p.reader.NPM(ctx, pkg, p.box.NPM.Fetch)
}

// described is a verdict in the words of a document.
func described(v licences.Verdict) spdx.Package {
	pkg := spdx.Package{
		Licence: v.Expression, Declared: v.Found.Declared, Stated: v.Stated, Copyright: v.Copyright,
		Supplier: v.Found.Author, Homepage: v.Found.Homepage, SHA256: v.Found.SHA256, SHA512: v.Found.SHA512,
	}
	for _, e := range v.Extracted {
		pkg.Extracted = append(pkg.Extracted, spdx.Extracted(e))
	}
	return pkg
}
