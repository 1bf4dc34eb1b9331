package vuln

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// Options are what looking into a release takes beside the release.
type Options struct {
	// Source is the database that a snapshot is taken of, where there is none yet: a
	// directory or an https address. Client reads from that.
	Source string
	Client *http.Client
	// Triage is that of a component.
	Triage func(component string) (recipes.Triage, error)
	Now    time.Time // by which an answer of a triage is out of date, or for too long
	Author string    // of the documents, for people: who publishes
	// Scratch is an empty directory, for binaries and the home of what scans.
	Scratch string
	// Only is which archives are looked into; nil is all. Where it leaves some out, an
	// answer of a triage may be to what those hold.
	Only func(artifact.Record) bool
}

// Look finds what is known of the archives of the release in dir, by the snapshot
// in the folder of that name, which it takes first if there is none. It writes
// nothing else.
func Look(ctx context.Context, o Options, dir, snapshot string) (Report, error) {
	report, _, err := look(ctx, o, dir, snapshot)
	return report, err
}

// Describe is Look, and writes the OpenVEX document of each archive beside it: the
// file dist.VEX of its record. One that is there and says something else goes, with
// its bundle; one that says the same stays with it. Others must neither publish nor
// sign there meanwhile.
//
// Called again over what an interrupted call left, it ends with the same files.
func Describe(ctx context.Context, o Options, dir, snapshot string) (Report, error) {
	report, m, err := look(ctx, o, dir, snapshot)
	if err != nil {
		return report, err
	}
	for _, a := range report.Archives {
		data, err := report.document(o, m.Distribution, a)
		if err != nil {
			return report, err
		}
		if err := replace(filepath.Join(dir, dist.VEX(a.record)), data); err != nil {
			return report, fmt.Errorf("writing which vulnerabilities affect %s: %w", a.Name, err)
		}
	}
	return report, nil
}

// Confirm is Look, by a snapshot that is there, and refuses (ErrDiffers) a release
// in which the OpenVEX document of an archive is missing or says anything else than
// Describe would write: for whoever signs what another machine found.
func Confirm(ctx context.Context, o Options, dir, snapshot string) (Report, error) {
	if _, err := os.Lstat(snapshot); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	report, m, err := look(ctx, o, dir, snapshot)
	if err != nil {
		return report, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return report, err
	}
	defer root.Close()
	for _, a := range report.Archives {
		want, err := report.document(o, m.Distribution, a)
		if err != nil {
			return report, err
		}
		got, err := (&directory{root}).get(ctx, dist.VEX(a.record), len(want))
		if err != nil || !bytes.Equal(got, want) {
			return report, errors.Join(fmt.Errorf("%w: %s: look again, by the same snapshot, recipes and tool", ErrDiffers, dist.VEX(a.record)), err)
		}
	}
	return report, nil
}

// document is what is said of an archive.
func (r Report) document(o Options, distribution string, a Archive) ([]byte, error) {
	var verdicts []vex.Verdict
	for i, f := range a.Findings {
		v := a.Verdicts[i]
		verdicts = append(verdicts, vex.Verdict{ID: f.ID, Aliases: f.Aliases, Module: f.Module, Version: f.Version, Status: v.Status, Justification: v.Justification, Note: v.Note})
	}
	s, err := vex.Statement(a.record, distribution, vex.Data{Scanner: Scanner, Digest: r.Database.Digest, Modified: r.Database.Modified}, verdicts, o.Author)
	if err != nil {
		return nil, err
	}
	if err := openVEX(s); err != nil {
		return nil, fmt.Errorf("saying which vulnerabilities affect %s: %w", a.Name, err)
	}
	return intoto.Marshal(s)
}

// replace writes a document that is not there yet, and removes the bundle of
// another one first.
func replace(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.Remove(dist.Bundle(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return store.WriteFile(name, 0o644, writes(data))
}

func look(ctx context.Context, o Options, dir, snapshot string) (Report, *artifact.Manifest, error) {
	fail := func(err error) (Report, *artifact.Manifest, error) {
		return Report{}, nil, fmt.Errorf("looking for known vulnerabilities in %s: %w", dir, err)
	}
	m, err := readManifest(dir)
	if err != nil {
		return fail(err)
	}
	records := slices.Clone(m.Artifacts)
	if o.Only != nil {
		records = slices.DeleteFunc(records, func(r artifact.Record) bool { return !o.Only(r) })
	}
	if len(records) == 0 {
		return fail(errors.New("there is no such archive: run mage build"))
	}
	triage, err := o.triages(records)
	if err != nil {
		return fail(err)
	}
	db, err := OpenSnapshot(ctx, snapshot)
	if errors.Is(err, fs.ErrNotExist) {
		db, err = Snapshot(ctx, o.Source, o.Client, modules(records), snapshot)
	}
	if err != nil {
		return fail(err)
	}
	report := Report{Database: db, Archives: make([]Archive, len(records))}
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(min(runtime.GOMAXPROCS(0), 4)) // a scan takes much memory
	for i, r := range records {
		group.Go(func() error {
			found, err := o.archive(inner, db, dir, r)
			if err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
			report.Archives[i] = judged(r, found, triage[r.Component].Of(r.Variant))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fail(err)
	}
	if err := report.needed(triage, db, len(records) == len(m.Artifacts)); err != nil {
		return fail(err)
	}
	return report, m, nil
}

func readManifest(dir string) (*artifact.Manifest, error) {
	f, err := os.Open(filepath.Join(dir, dist.Index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no release.json: run mage build")
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return artifact.ParseManifest(f)
}

// triages are those of the components of records, all of which are current.
func (o Options) triages(records []artifact.Record) (map[string]recipes.Triage, error) {
	all := map[string]recipes.Triage{}
	for _, r := range records {
		if _, known := all[r.Component]; known {
			continue
		}
		t, err := o.Triage(r.Component)
		if err == nil {
			err = current(r.Component, t, o.Now)
		}
		if err != nil {
			return nil, err
		}
		all[r.Component] = t
	}
	return all, nil
}

func judged(r artifact.Record, found []Finding, t recipes.Triage) Archive {
	a := Archive{Name: r.Name, Digest: r.Digest, Findings: found, Verdicts: []Verdict{}, record: r}
	if found == nil {
		a.Findings = []Finding{}
	}
	for _, v := range Judge(found, t) {
		a.Verdicts = append(a.Verdicts, Verdict{Status: v.Status, Justification: v.Justification, Note: v.Note, Open: v.Open()})
	}
	return a
}

// needed refuses answers of triages that nothing asks for, where everything was
// looked at that could. Of a variant that the release does not have nothing could.
func (r Report) needed(triage map[string]recipes.Triage, db Database, all bool) error {
	if !all {
		return nil
	}
	limited := map[string]bool{}
	for id, e := range db.entries {
		limited[id] = e.limited()
	}
	for _, a := range r.Archives {
		var found []Finding
		for _, b := range r.Archives {
			if b.record.Component == a.record.Component && b.record.Variant == a.record.Variant {
				found = append(found, b.Findings...)
			}
		}
		if err := needed(a.record.Component, a.record.Variant, triage[a.record.Component], found, limited); err != nil {
			return err
		}
	}
	return nil
}
