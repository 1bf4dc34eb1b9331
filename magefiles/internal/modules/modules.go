// Package modules fetches Go modules and hands over only what it has checked:
// every zip file was confirmed by the checksum database when it arrived, is
// held against the committed go.sum, and is held against it again before each
// use. One that is made of a git commit (Given) is held against that, and against
// go.sum alone. Fetching runs the go command and nothing that it fetched.
//
// Modules live in a module cache of the tool's own, in the go command's
// layout, which locks itself against other processes.
package modules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/child"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// ErrChanged is wrapped when a module differs from its hash.
var ErrChanged = errors.New("module differs from its hash")

// ErrFetch is wrapped when a module could not be had.
var ErrFetch = errors.New("module could not be fetched")

// A Module is a verified module version and where it lies.
type Module struct {
	module.Version
	Sum       string          // "h1:", of go.sum
	ZipDigest artifact.Digest // of the zip file
	Zip, Dir  string          // absolute paths in the module cache
}

// Artifact is m as a manifest names it.
func (m Module) Artifact() artifact.Module {
	zip := m.ZipDigest
	return artifact.Module{Path: m.Path, Version: m.Version.Version, Sum: m.Sum, Zip: &zip}
}

// A Client fetches into the module cache of a store.
type Client struct {
	Go    string   // path of the go command that fetches
	Env   []string // its environment, but for what this package sets
	Store *store.Store
	CPUs  int    // processors that checking may use
	Given *Given // a module that is fetched from no proxy; nil for none
}

// Cache is the module cache's directory.
func (c *Client) Cache() string { return c.Store.Dir("mod") }

// One fetches a single module version and refuses any hash but sum.
func (c *Client) One(ctx context.Context, m module.Version, sum string) (Module, error) {
	key := store.NewKey("module-1", m.Path, m.Version, sum)
	mods, err := c.fetch(ctx, key, func(ctx context.Context) (digests, error) {
		return c.download(ctx, []byte("module palisade/fetch\n"), recipes.Sums{m: sum}, m.String())
	})
	if err != nil {
		return Module{}, err
	}
	if len(mods) != 1 {
		return Module{}, fmt.Errorf("fetching %s: %w: got %d modules", m, ErrFetch, len(mods))
	}
	return mods[0], c.Verify(ctx, mods)
}

// All fetches every module that a lock requires. The result is sorted by path
// and is not verified again: Verify is for the moment before its use.
func (c *Client) All(ctx context.Context, l recipes.Lock) ([]Module, error) {
	if err := errors.Join(c.Given.check(l), c.forget()); err != nil {
		return nil, err
	}
	key := store.NewKey("modules-1", string(l.GoMod), string(l.GoSum))
	return c.fetch(ctx, key, func(ctx context.Context) (digests, error) {
		return c.download(ctx, l.GoMod, l.Sums)
	})
}

// fetch downloads once, and again where the module cache lost what the store
// remembers: somebody emptied it, or removed what Verify told them to.
func (c *Client) fetch(ctx context.Context, key store.Key, download func(context.Context) (digests, error)) ([]Module, error) {
	got, _, cached, err := store.Do(ctx, c.Store, key, func(ctx context.Context, _ string) (digests, error) { return download(ctx) })
	if err != nil {
		return nil, err
	}
	mods, err := c.locate(got)
	if err != nil || !cached || !slices.ContainsFunc(mods, Module.missing) {
		return mods, err
	}
	if got, err = download(ctx); err != nil {
		return nil, err
	}
	return c.locate(got)
}

// digests is what fetching leaves in the store: enough to find each module
// and to tell that it is still the same.
type digests []artifact.Module

// downloaded is what "go mod download -json" prints of a module.
type downloaded struct {
	Path, Version, Sum, Zip, Dir, Error string
}

// download runs "go mod download" in a module that has no go.sum: so the go
// command asks the checksum database about every module, and what it found is
// then held against the committed sums. Neither check can stand in for the
// other.
func (c *Client) download(ctx context.Context, goMod []byte, want recipes.Sums, args ...string) (digests, error) {
	dir, remove, err := c.Store.Temp("fetch")
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), goMod, 0o600); err != nil {
		return nil, err
	}
	env, err := c.environment(ctx, dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.Go, append([]string{"mod", "download", "-json"}, args...)...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := child.Run(cmd)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var got digests
	var zips []string // of got
	for dec := json.NewDecoder(&stdout); ; {
		var d downloaded
		if err := dec.Decode(&d); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("fetching modules: %w: reading the go command's answer: %w", ErrFetch, err)
		}
		m, err := admit(d, want)
		if err != nil {
			return nil, err
		}
		got = append(got, m)
		zips = append(zips, d.Zip)
	}
	if runErr != nil {
		return nil, fmt.Errorf("fetching modules: %w: %w: %s", ErrFetch, runErr, advise(strings.TrimSpace(stderr.String())))
	}
	if err := c.digest(ctx, got, zips); err != nil {
		return nil, err
	}
	slices.SortFunc(got, func(a, b artifact.Module) int { return strings.Compare(a.Path, b.Path) })
	return got, nil
}

// advise adds what to look at to what the go command said.
func advise(said string) string {
	if strings.Contains(said, "no space left on device") {
		return said + "; free space there or choose another cache directory"
	}
	return said + "; is the module proxy (GOPROXY) within reach?"
}

// digest records the digest of each module's zip file, having read what the
// file holds: of one that was in the cache already the go command takes the
// hash from a file beside it.
func (c *Client) digest(ctx context.Context, got digests, zips []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.CPUs))
	for i, zip := range zips {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m := module.Version{Path: got[i].Path, Version: got[i].Version}
			sum, err := dirhash.HashZip(zip, dirhash.Hash1)
			if err == nil && sum != got[i].Sum {
				err = fmt.Errorf("it is %s, not %s", sum, got[i].Sum)
			}
			if err != nil {
				return fmt.Errorf("fetching %s: %w: %w; remove %s and build again", m, ErrChanged, err, zip)
			}
			digest, _, err := artifact.DigestFile(zip)
			got[i].Zip = &digest
			return err
		})
	}
	return g.Wait()
}

// admit holds one downloaded module against the sums.
func admit(d downloaded, want recipes.Sums) (artifact.Module, error) {
	m := module.Version{Path: d.Path, Version: d.Version}
	if d.Error != "" {
		if strings.Contains(d.Error, "checksum mismatch") || strings.Contains(d.Error, "SECURITY ERROR") {
			return artifact.Module{}, fmt.Errorf("fetching %s: %w: %s", m, ErrChanged, d.Error)
		}
		return artifact.Module{}, fmt.Errorf("fetching %s: %w: %s", m, ErrFetch, advise(d.Error))
	}
	switch sum := want[m]; {
	case sum == "":
		return artifact.Module{}, fmt.Errorf("fetching %s: %w: no hash of it is committed; run mage lock and look at what changed", m, ErrChanged)
	case sum != d.Sum:
		return artifact.Module{}, fmt.Errorf("fetching %s: %w: it is %s, but %s is committed", m, ErrChanged, d.Sum, sum)
	}
	return artifact.Module{Path: d.Path, Version: d.Version, Sum: d.Sum}, nil
}

// environment is the go command's: what the person set for fetching, ours,
// and no settings file, out of which only the addresses are taken.
func (c *Client) environment(ctx context.Context, dir string) ([]string, error) {
	cmd := exec.CommandContext(ctx, c.Go, "env", "-json", "GOPROXY", "GOSUMDB")
	cmd.Dir, cmd.Env = dir, append(slices.Clone(c.Env), "GOTOOLCHAIN=local", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("asking the go command for its module proxy: %w", err)
	}
	var set struct{ GOPROXY, GOSUMDB string }
	if err := json.Unmarshal(out, &set); err != nil {
		return nil, fmt.Errorf("asking the go command for its module proxy: %w", err)
	}
	if set.GOSUMDB == "off" {
		return nil, fmt.Errorf("%w: the checksum database is switched off (go env GOSUMDB); run go env -u GOSUMDB", ErrFetch)
	}
	return append(append(slices.Clone(c.Env), c.Given.environment(set.GOPROXY)...),
		"GOENV=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-mod=mod", "GOVCS=*:off",
		"GOSUMDB="+set.GOSUMDB,
		// Nowhere to count what it does: it would leave a process behind that writes there.
		"XDG_CONFIG_HOME="+os.DevNull,
		"GOPATH="+c.Store.Dir("gopath"), "GOMODCACHE="+c.Cache(), "GOCACHE="+c.Store.Dir("go-build"),
	), nil
}

// locate says where in the module cache each module lies.
func (c *Client) locate(got digests) ([]Module, error) {
	mods := make([]Module, len(got))
	for i, g := range got {
		m := module.Version{Path: g.Path, Version: g.Version}
		rel, err := escaped(m)
		if err != nil {
			return nil, err
		}
		mods[i] = Module{
			Version: m, Sum: g.Sum, ZipDigest: *g.Zip,
			Zip: filepath.Join(c.Cache(), "cache", "download", rel.download+".zip"),
			Dir: filepath.Join(c.Cache(), rel.dir),
		}
	}
	return mods, nil
}

type places struct{ dir, download string }

// escaped is where a module version lies in a module cache: its directory,
// and its files below cache/download without their extension.
func escaped(m module.Version) (places, error) {
	p, err := module.EscapePath(m.Path)
	if err != nil {
		return places{}, err
	}
	v, err := module.EscapeVersion(m.Version)
	if err != nil {
		return places{}, err
	}
	return places{dir: p + "@" + v, download: p + "/@v/" + v}, nil
}

// Verify reads every zip file and every unpacked directory again and refuses
// one that differs from what was fetched, naming module and place.
func (c *Client) Verify(ctx context.Context, mods []Module) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.CPUs))
	for _, m := range mods {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return m.verify()
		})
	}
	return g.Wait()
}

func (m Module) missing() bool {
	_, zip := os.Stat(m.Zip)
	_, dir := os.Stat(m.Dir)
	return errors.Is(zip, fs.ErrNotExist) || errors.Is(dir, fs.ErrNotExist)
}

func (m Module) verify() error {
	changed := func(place string) error {
		return fmt.Errorf("checking %s: %w: %s was changed after it was fetched; remove it and its directory %s, and build again",
			m.Version, ErrChanged, place, m.Dir)
	}
	zip, _, err := artifact.DigestFile(m.Zip)
	if err != nil {
		return fmt.Errorf("checking %s: %w", m.Version, err)
	}
	if zip != m.ZipDigest {
		return changed(m.Zip)
	}
	sum, err := dirhash.HashDir(m.Dir, m.String(), dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("checking %s: %w", m.Version, err)
	}
	if sum != m.Sum {
		return changed(m.Dir)
	}
	return nil
}
