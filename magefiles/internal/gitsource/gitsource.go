// Package gitsource fetches one commit of a git repository as a tree of files, and
// hands over only what it has checked: the files have the hash that the recipe
// pins, and the tag that it names is at that commit and signed by one of the keys
// that it names. Until then nothing reads them but git and this package.
//
// git itself fetches, into an empty repository that is gone afterwards, with an
// environment and a configuration of this package's own: no hook, filter,
// credential, submodule or setting of the person's, the machine's or the
// repository's takes effect. As little history is fetched as the server gives.
//
// It refuses, with ErrRefused, a commit with a symbolic link or a submodule, with
// a name that git or an operating system treats apart or takes for another's, and
// one beyond its bounds, which hold while it is received.
//
// # Mirrors
//
// A mirror is a folder or an address below which repositories lie by name, with
// ".git" behind it or not: MIRROR/github.com/elm/core.git. It is asked first, and
// where it lacks a repository or a commit the repository itself is asked. What it
// gives is checked in the same way, and what is wrong with it is an error: another
// place is asked for what is missing, not for another answer.
package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

var (
	// ErrFetch is wrapped when a commit could not be had, from no place.
	ErrFetch = errors.New("commit could not be fetched")
	// ErrChanged is wrapped when its files are not what the hash says.
	ErrChanged = errors.New("files of the commit differ from their hash")
	// ErrTag is wrapped when a tag is at another commit, or not signed as the recipe
	// says.
	ErrTag = errors.New("tag is not what the recipe says")
	// ErrRefused is wrapped when a commit holds what no source may.
	ErrRefused = errors.New("commit is unfit for a source")
)

// Bounds are of one commit. A zero is the default.
type Bounds struct {
	Received int64         // bytes that git keeps of what it receives; 2 GiB
	Bytes    int64         // of all files; 1 GiB
	Files    int           // 200,000
	Depth    int           // of folders; 64
	Patience time.Duration // for all that git does; 30 minutes
}

func (b Bounds) filled() Bounds {
	fill := func(n *int64, otherwise int64) {
		if *n == 0 {
			*n = otherwise
		}
	}
	fill(&b.Received, 2<<30)
	fill(&b.Bytes, 1<<30)
	if b.Files == 0 {
		b.Files = 200_000
	}
	if b.Depth == 0 {
		b.Depth = 64
	}
	if b.Patience == 0 {
		b.Patience = 30 * time.Minute
	}
	return b
}

// A Client fetches into a store.
type Client struct {
	Git    string   // path of the git command, "" if there is none
	Env    []string // of which proxies, certificate authorities and PATH are taken, and nothing else
	Store  *store.Store
	Mirror string // an absolute folder, or an http, https or file address; "" for none
	Bounds Bounds

	origin func(recipes.Git) string // the repository's address, for tests; nil is what the recipe says
}

// A Tree is the files of a commit. Only Fetch makes one.
type Tree struct {
	recipes.Git
	Dir      string // absolute; every file below it has mode 0644
	SignedBy string // openpgp:FINGERPRINT or ssh:SHA256:…, "" where no signature was asked for

	entry store.Entry
}

// Artifact is t as a manifest names it.
func (t Tree) Artifact() artifact.Git {
	return artifact.Git{Name: t.Name, Repository: t.Repository, Commit: t.Commit, Sum: t.Hash, Tag: t.Tag, SignedBy: t.SignedBy}
}

// Verify refuses files that are not as they were fetched.
func (t Tree) Verify(ctx context.Context) error { return t.entry.Verify(ctx) }

// fetched is what fetching leaves in the store, beside the files.
type fetched struct {
	SignedBy string `json:"signedBy"`
}

// Fetch returns the files of a commit, fetched and checked, now or before; what was
// fetched before is verified.
func (c *Client) Fetch(ctx context.Context, g recipes.Git) (Tree, error) {
	said, entry, _, err := store.Do(ctx, c.Store, store.NewKey("commit-1", g.Pins()...), func(ctx context.Context, dir string) (fetched, error) {
		return c.fetch(ctx, g, dir)
	})
	if err == nil {
		err = entry.Verify(ctx)
	}
	if err != nil {
		return Tree{}, fmt.Errorf("fetching %s, commit %s of %s: %w", g.Name, g.Commit, g.Repository, err)
	}
	return Tree{Git: g, Dir: entry.Dir, SignedBy: said.SignedBy, entry: entry}, nil
}

// FetchAll is Fetch for every commit, one after the other. Of those that could not
// be had it goes through all, so that its error names each, and how to mirror it;
// any other error ends it at once, and so does it that all of them together take
// longer than one may.
func (c *Client) FetchAll(ctx context.Context, all []recipes.Git) ([]Tree, error) {
	ctx, cancel := c.patience(ctx)
	defer cancel()
	var trees []Tree
	var missing []error
	advice := ""
	for _, g := range all {
		t, err := c.Fetch(ctx, g)
		if errors.Is(err, ErrFetch) && ctx.Err() == nil {
			missing = append(missing, err)
			advice += fmt.Sprintf("\n  git clone --mirror %s MIRROR/%s.git", g.Repository, g.Place())
			continue
		}
		if err != nil {
			return nil, err
		}
		trees = append(trees, t)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w\nmissing: %d of %d commits. Where their repositories can be reached, mirror them, and name the folder, or an address where it is served, in PALISADE_GIT_MIRROR:%s",
			errors.Join(missing...), len(missing), len(all), advice)
	}
	return trees, nil
}

func (c *Client) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	patience := c.Bounds.filled().Patience
	return context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w: git did not end in %v", ErrFetch, patience))
}

// fetch lays the files of g out at dir.
func (c *Client) fetch(ctx context.Context, g recipes.Git, dir string) (fetched, error) {
	if c.Git == "" {
		return fetched{}, errors.New("there is no git command in PATH, which fetches it: install git")
	}
	places, err := c.places(g)
	if err != nil {
		return fetched{}, err
	}
	ctx, cancel := c.patience(ctx)
	defer cancel()
	tmp, remove, err := c.Store.Temp("git")
	if err != nil {
		return fetched{}, err
	}
	defer remove()
	r := &repository{git: c.Git, env: c.Env, tmp: tmp, dir: filepath.Join(tmp, "repository"), bounds: c.Bounds.filled()}
	if err := r.fetch(ctx, places, g); err != nil {
		return fetched{}, err
	}
	signer, err := r.tag(ctx, g)
	if err != nil {
		return fetched{}, err
	}
	entries, err := r.list(ctx, g.Commit)
	if err != nil {
		return fetched{}, err
	}
	if err := r.archive(ctx, g.Commit, entries, dir); err != nil {
		return fetched{}, err
	}
	sum, err := dirhash.HashDir(dir, g.Name, dirhash.Hash1)
	if err != nil {
		return fetched{}, err
	}
	if sum != g.Hash {
		return fetched{}, fmt.Errorf("%w: they are %s, and %s is pinned: look at what the commit holds before you pin that", ErrChanged, sum, g.Hash)
	}
	return fetched{SignedBy: signer}, nil
}

// places are the addresses where g may be, in the order in which they are asked.
func (c *Client) places(g recipes.Git) ([]place, error) {
	own := g.Repository
	if c.origin != nil {
		own = c.origin(g)
	}
	origin, err := placeOf(own)
	if err != nil {
		return nil, err
	}
	if c.Mirror == "" {
		return []place{origin}, nil
	}
	mirror := c.Mirror
	if !strings.Contains(mirror, "://") {
		if _, err := os.Stat(mirror); err != nil { // nobody means a mirror that is not there
			return nil, fmt.Errorf("the mirror of git repositories (PALISADE_GIT_MIRROR): %w", err)
		}
		mirror = fileAddress(mirror)
	}
	var all []place
	for _, ending := range []string{".git", ""} {
		p, err := placeOf(strings.TrimSuffix(mirror, "/") + "/" + g.Place() + ending)
		if err != nil {
			return nil, fmt.Errorf("the mirror of git repositories (PALISADE_GIT_MIRROR): %w", err)
		}
		if p.there() {
			all = append(all, p)
		}
	}
	return slices.Compact(append(all, origin)), nil
}
