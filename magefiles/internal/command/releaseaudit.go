package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/audit"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/image"
	"palisade/magefiles/internal/release"
	"palisade/magefiles/internal/store"
)

// ReleaseAudit audits what release:build made of a shard, and hands over the
// results alone: what runs here cannot touch an archive any more, whose digest is
// known. A binary that is not secure is refused with status 3, and then nothing is
// handed over. Of a component that no check knows there is no result: whether that
// will do is for a policy to say.
func ReleaseAudit(ctx context.Context, req ReleaseShardRequest) error {
	s, err := openStep(ctx, req.StepRequest, handover.Audit, req.Shard)
	if err != nil {
		return stepped(err)
	}
	built, err := s.inputs(ctx, handover.Build)
	if err != nil {
		return stepped(err)
	}
	defer closeAll(built)
	if len(built) != 1 || built[0].Header().Shard != s.shard {
		return stepped(fmt.Errorf("%w: release:audit %s takes what release:build made of that shard, and no other", release.ErrForeign, s.shard))
	}
	h := s.header(built...)
	if done, err := s.done(ctx, h); done || err != nil {
		return err
	}
	work, leave, err := s.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	results, err := s.audit(ctx, built[0], work)
	if err != nil {
		return stepped(err)
	}
	return stepped(s.hand(ctx, h, work, func(name string) bool { return results[name] }))
}

// audit writes the results of what f holds to the folder dist of work, and says
// which files they are.
func (s *step) audit(ctx context.Context, f *handover.File, work *os.Root) (map[string]bool, error) {
	m, err := manifestOf(f)
	if err != nil {
		return nil, err
	}
	if _, err := s.plan.Accept(release.Part{Shard: s.shard, Manifest: *m}); err != nil {
		return nil, err
	}
	if err := f.Unpack(ctx, work); err != nil {
		return nil, err
	}
	cache, err := store.Open(s.config.Cache)
	if err != nil {
		return nil, err
	}
	scratch, remove, err := cache.Temp("audit")
	if err != nil {
		return nil, err
	}
	defer remove()
	cfg := *s.config
	cfg.Dist = filepath.Join(work.Name(), handedDist)
	results := map[string]bool{}
	var refused []string
	for i := range m.Artifacts {
		r := &m.Artifacts[i]
		if r.Platform != cfg.Host {
			return nil, fmt.Errorf("%w: %s runs on %s, and this machine is of %s: audit it on one of the platform", config.ErrUsage, r.Name, r.Platform, cfg.Host)
		}
		if !slices.Contains(audit.Components(), r.Component) {
			fmt.Fprintf(os.Stderr, "%s: no check knows the component %s: nothing is said of it, and a policy that wants a passed audit refuses it\n", r.Name, r.Component)
			continue
		}
		passed, err := s.auditRecord(ctx, &cfg, r, scratch)
		if err != nil {
			return nil, err
		}
		if !passed {
			refused = append(refused, r.Name)
		}
		results[path.Join(handedDist, dist.TestResult(*r))] = true
	}
	if len(refused) > 0 {
		return nil, failure{fmt.Errorf("%w: %q: nothing is handed over", ErrNotSecure, refused), statusRefused}
	}
	return results, nil
}

func (s *step) auditRecord(ctx context.Context, cfg *config.Config, r *artifact.Record, scratch string) (passed bool, err error) {
	if err := looseBinaries(ctx, cfg.Dist, *r); err != nil {
		return false, err
	}
	subject, err := built(cfg, r)
	if err != nil {
		return false, err
	}
	settings := audit.Settings{Scratch: scratch, Archive: filepath.Join(cfg.Dist, r.Name)}
	return auditOne(ctx, s.progress(), subject, settings, func(data []byte) error {
		return writeFile(filepath.Join(cfg.Dist, dist.TestResult(*r)), data)
	})
}

// manifestOf is the release.json in a hand-over.
func manifestOf(f *handover.File) (*artifact.Manifest, error) {
	data, err := f.Read(path.Join(handedDist, dist.Index), artifact.MaxManifestSize)
	if err != nil {
		return nil, err
	}
	m, err := artifact.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %s of shard %s: %w", handover.ErrMalformed, dist.Index, f.Header().Shard, err)
	}
	return m, nil
}

// looseBinaries takes the binaries of an artifact in dir out of its archive, to
// where a build would have put them.
func looseBinaries(ctx context.Context, dir string, r artifact.Record) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("taking the binaries out of %s: %w", r.Name, err)
		}
	}()
	temp, err := os.MkdirTemp(dir, ".binaries-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	unpacked, err := image.Unpack(ctx, dir, temp, r, "")
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, filepath.FromSlash(dist.BinDir(r)))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for _, b := range r.Binaries {
		at := slices.IndexFunc(r.Members, func(m artifact.File) bool { return path.Base(m.Name) == b.Name && m.Digest == b.Digest })
		if at < 0 || !filepath.IsLocal(b.Name) {
			return fmt.Errorf("%w: the archive does not hold binary %.200q with its digest", handover.ErrMalformed, b.Name)
		}
		if err := looseBinary(unpacked, r.Members[at], filepath.Join(bin, b.Name)); err != nil {
			return err
		}
	}
	return nil
}

func looseBinary(from image.Source, member artifact.File, name string) error {
	in, err := from.Open(member)
	if err != nil {
		return err
	}
	defer in.Close()
	return store.WriteFile(name, 0o755, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}
