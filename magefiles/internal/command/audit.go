package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/audit"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/store"
)

// ErrNotSecure is what an audit with a finding of FAIL, or without one of
// PASS, wraps.
var ErrNotSecure = errors.New("the binary does not keep what is promised")

// An AuditRequest says what to audit: what was built, by Component and
// Variant as in a Selection, or the binary at Path, whose component its build
// info says unless Component does. Out is where the result of one subject is
// written; without it, that of something built goes beside its archive.
type AuditRequest struct{ Component, Variant, Path, Out string }

// Audit prints a line for every check and a summary for every subject.
func Audit(ctx context.Context, req AuditRequest) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	subjects, err := subjects(cfg, req)
	if err != nil {
		return outcome(err)
	}
	if req.Out != "" && len(subjects) > 1 {
		return outcome(fmt.Errorf("%w: -out takes one result, and %d components are chosen: choose one with -component", config.ErrUsage, len(subjects)))
	}
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return err
	}
	scratch, remove, err := s.Temp("audit")
	if err != nil {
		return err
	}
	defer remove()
	var refused []string
	for _, subject := range subjects {
		settings := audit.Settings{Scratch: scratch}
		if subject.Record != nil {
			settings.Archive = filepath.Join(cfg.Dist, subject.Record.Name)
		}
		out := resultFile(cfg, req, subject)
		var put func(data []byte) error
		switch out {
		case "":
		case req.Out:
			put = func(data []byte) error { return writeFile(out, data) }
		default:
			put = func(data []byte) error { return putBeside(ctx, cfg, s, out, data) }
		}
		passed, err := auditOne(ctx, os.Stdout, subject, settings, put)
		if err != nil {
			return err
		}
		if !passed {
			refused = append(refused, subject.Component)
		}
	}
	if len(refused) > 0 {
		return failure{fmt.Errorf("%w: %s", ErrNotSecure, strings.Join(refused, ", ")), statusRefused}
	}
	return nil
}

// putBeside puts a result beside its archive while nobody signs there, and takes
// away the signature of the former one, which is not that of this one.
func putBeside(ctx context.Context, cfg *config.Config, s *store.Store, out string, data []byte) error {
	unlock, err := dist.Lock(ctx, s, cfg.Dist)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(dist.Bundle(out)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(out, data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stderr, "%s is not signed: run mage sign\n", filepath.Base(out))
	return err
}

func writeFile(name string, data []byte) error {
	return store.WriteFile(name, 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// auditOne prints the findings of one subject to out as they come and hands its
// result to put, unless that is nil.
func auditOne(ctx context.Context, out io.Writer, subject audit.Subject, settings audit.Settings, put func([]byte) error) (passed bool, err error) {
	count := map[audit.Status]int{}
	findings, err := audit.Run(ctx, subject, settings, func(f audit.Finding) {
		count[f.Status]++
		fmt.Fprintf(out, "%s %-24s %s  %s\n", subject.Component, f.Check, f.Status, f.Observation)
	})
	if err != nil {
		return false, err
	}
	name := subject.Component
	if subject.Variant != "" {
		name += " " + subject.Variant
	}
	fmt.Fprintf(out, "%s %s: %d passed, %d failed, %d skipped\n", name, subject.Digest, count[audit.Pass], count[audit.Fail], count[audit.Skip])
	if put == nil {
		return audit.Passed(findings), nil
	}
	data, err := audit.Statement(subject, findings)
	if err != nil {
		return false, err
	}
	if err := put(data); err != nil {
		return false, fmt.Errorf("writing the result of %s: %w", subject.Component, err)
	}
	return audit.Passed(findings), nil
}

// resultFile is where the result of a subject goes, "" for nowhere.
func resultFile(cfg *config.Config, req AuditRequest, s audit.Subject) string {
	if req.Out != "" || req.Path != "" {
		return req.Out
	}
	return filepath.Join(cfg.Dist, dist.TestResult(*s.Record))
}

// subjects is what was asked for, every binary held against its digest.
func subjects(cfg *config.Config, req AuditRequest) ([]audit.Subject, error) {
	if req.Path != "" {
		return foreign(cfg, req)
	}
	plan, err := pipeline.NewPlan(cfg, Selection{Component: req.Component, Variant: req.Variant})
	if err != nil {
		return nil, err
	}
	index, err := readIndex(cfg)
	if err != nil {
		return nil, err
	}
	var all []audit.Subject
	for _, cell := range plan.Cells {
		i := slices.IndexFunc(index.Artifacts, func(r artifact.Record) bool {
			return r.Component == cell.Recipe.Name && r.Platform == cell.Platform && r.Variant == cell.Variant
		})
		if i < 0 {
			return nil, fmt.Errorf("%s is not built: run mage build -component=%s -variant=%s", cell, cell.Recipe.Name, cell.Variant)
		}
		s, err := built(cfg, &index.Artifacts[i])
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// readIndex reads the index of what was built; nothing built is an empty one.
func readIndex(cfg *config.Config) (*artifact.Manifest, error) {
	f, err := os.Open(filepath.Join(cfg.Dist, "release.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return &artifact.Manifest{}, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("reading the index of %s: %w", cfg.Dist, err)
	}
	return m, nil
}

// built is the subject of a record: the loose binary that has its component's
// name.
func built(cfg *config.Config, r *artifact.Record) (audit.Subject, error) {
	i := slices.IndexFunc(r.Binaries, func(b artifact.Binary) bool { return strings.TrimSuffix(b.Name, ".exe") == r.Component })
	if i < 0 {
		return audit.Subject{}, fmt.Errorf("%s holds no binary called %s", r.Name, r.Component)
	}
	dir := filepath.Join(cfg.Dist, filepath.FromSlash(dist.BinDir(*r)))
	s := audit.Subject{Component: r.Component, Binary: filepath.Join(dir, r.Binaries[i].Name), Digest: r.Binaries[i].Digest, Variant: r.Variant, Dir: dir, Record: r}
	for name, want := range map[string]artifact.Digest{s.Binary: s.Digest, filepath.Join(cfg.Dist, r.Name): r.Digest} {
		got, _, err := artifact.DigestFile(name)
		if err != nil {
			return s, fmt.Errorf("reading what was built of %s: %w; run mage build -component=%s -variant=%s", r.Component, err, r.Component, r.Variant)
		}
		if got != want {
			return s, failure{fmt.Errorf("%s is not what was built: its digest is %s, and release.json says %s; run mage build -component=%s -variant=%s",
				name, got, want, r.Component, r.Variant), statusRefused}
		}
	}
	return s, nil
}

// foreign is the binary at a path. Where it is one of those built here, by its
// digest, it has that one's record.
func foreign(cfg *config.Config, req AuditRequest) ([]audit.Subject, error) {
	if req.Variant != "" {
		return nil, fmt.Errorf("%w: -variant chooses among what was built here, -path names a binary: leave one out", config.ErrUsage)
	}
	if _, err := os.Stat(req.Path); err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrUsage, err)
	}
	s, err := audit.Inspect(req.Path, req.Component)
	if err != nil {
		return nil, err
	}
	index, err := readIndex(cfg)
	if err != nil {
		return nil, err
	}
	for i := range index.Artifacts {
		r := &index.Artifacts[i]
		same := func(b artifact.Binary) bool { return b.Digest == s.Digest }
		if r.Component == s.Component && slices.ContainsFunc(r.Binaries, same) {
			s.Record, s.Variant = r, r.Variant
		}
	}
	return []audit.Subject{s}, nil
}
