// Package npm guarantees that an npm package is read only as the bytes whose
// SHA-512 a lock names: when it is downloaded, and again at every later use of
// the stored copy.
//
// It speaks to a registry in one way only, by getting tarballs; it asks for no
// metadata and resolves no version. It refuses integrity strings that are not
// one sha512, lock files other than pnpm's version 9.0 and npm's version 3, packages
// that come from git, an address or a directory, tarballs larger than their bounds,
// and archive members that are not plain files or directories. It runs nothing.
package npm

import (
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
)

// MaxTarball bounds a package's tarball, in bytes.
const MaxTarball = 256 << 20

// parallel bounds the downloads that FetchAll has under way.
const parallel = 8

// attempts bounds how often a download that broke in transit is begun again.
const attempts = 3

var (
	// ErrIntegrity is wrapped when bytes from the registry are not those that
	// the integrity names.
	ErrIntegrity = errors.New("content differs from its integrity")
	// ErrCorrupt is wrapped when a stored tarball is no longer what it was.
	ErrCorrupt = errors.New("stored package was changed")
	// ErrOffline is wrapped when a package would have to be downloaded and the
	// Client may not.
	ErrOffline = errors.New("package is not stored and the network is not to be used")
	// ErrPackage is wrapped when a name, version or integrity is malformed.
	ErrPackage = errors.New("malformed npm package")
)

// A Client fetches tarballs from one registry into one directory, where each
// is called by the hexadecimal SHA-512 of its content and ".tgz". Several
// clients and processes may share the directory.
type Client struct {
	Registry string       // base URL
	Dir      string       // made when missing
	HTTP     *http.Client // nil is http.DefaultClient
	Offline  bool         // use what is stored, never the network

	wait time.Duration // before a second attempt; 0 is a second
}

// Fetch returns the path of p's tarball, downloaded or stored, having compared
// all of its bytes with p.Integrity in this very call. The file is read-only
// and belongs to the Client: callers must not change it.
func (c *Client) Fetch(ctx context.Context, p artifact.Package) (string, error) {
	sum, err := check(p)
	if err != nil {
		return "", err
	}
	name := filepath.Join(c.Dir, hex.EncodeToString(sum)+".tgz")
	switch err := verify(name, sum); {
	case err == nil:
		return name, nil
	case errors.Is(err, ErrCorrupt):
		return "", fmt.Errorf("reading npm package %s@%s: %w: delete %s and run again to download it anew", p.Name, p.Version, err, name)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("reading npm package %s@%s: %w", p.Name, p.Version, err)
	case c.Offline:
		return "", fmt.Errorf("fetching npm package %s@%s: %w: run once with the network to store it", p.Name, p.Version, ErrOffline)
	}
	if err := c.download(ctx, p, sum, name); err != nil {
		return "", fmt.Errorf("fetching npm package %s@%s: %w", p.Name, p.Version, err)
	}
	return name, nil
}

// FetchAll is Fetch for every package, a bounded number at a time; paths[i] is
// that of packages[i]. It stops at the first error.
func (c *Client) FetchAll(ctx context.Context, packages []artifact.Package) (paths []string, err error) {
	paths = make([]string, len(packages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, p := range packages {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			paths[i], err = c.Fetch(ctx, p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return paths, nil
}

// TarballPath is where a registry keeps p, below its base URL:
// "@scope/name/-/name-1.0.0.tgz".
func TarballPath(p artifact.Package) string {
	return p.Name + "/-/" + path.Base(p.Name) + "-" + p.Version + ".tgz"
}

// nameForm is what the registry accepts today plus the capitals of old names.
var nameForm = regexp.MustCompile(`^(@[A-Za-z0-9~_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*$`)

// check refuses a package whose name, version or integrity could not stand in
// a URL or pin a content, and returns the SHA-512 it is pinned to.
func check(p artifact.Package) ([]byte, error) {
	if len(p.Name) > 214 || !nameForm.MatchString(p.Name) {
		return nil, fmt.Errorf("%w: name %q", ErrPackage, p.Name)
	}
	v := "v" + p.Version
	if len(v) > 256 || !semver.IsValid(v) || semver.Canonical(v)+semver.Build(v) != v {
		return nil, fmt.Errorf("%w: version %q of %s is not a full semantic version", ErrPackage, p.Version, p.Name)
	}
	text, ok := strings.CutPrefix(p.Integrity, "sha512-")
	sum, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(sum) != sha512.Size {
		return nil, fmt.Errorf("%w: integrity %q of %s@%s is not one sha512", ErrPackage, p.Integrity, p.Name, p.Version)
	}
	return sum, nil
}

func verify(name string, sum []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, io.LimitReader(f, MaxTarball+1)); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(h.Sum(nil), sum) != 1 {
		return ErrCorrupt
	}
	return nil
}

// A transient error may be gone at the next attempt.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

func (c *Client) download(ctx context.Context, p artifact.Package, sum []byte, name string) error {
	if c.Registry == "" {
		return errors.New("no registry is given")
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	wait := c.wait
	if wait == 0 {
		wait = time.Second
	}
	for n := 1; ; n++ {
		err := c.attempt(ctx, strings.TrimRight(c.Registry, "/")+"/"+TarballPath(p), sum, name)
		if _, again := errors.AsType[transient](err); !again || n == attempts || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(time.Duration(n) * wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Client) attempt(ctx context.Context, url string, sum []byte, name string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return transient{err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("the registry answered %s", resp.Status)
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
			return transient{err}
		}
		return err
	}

	tmp, err := os.CreateTemp(c.Dir, ".part-*")
	if err != nil {
		return err
	}
	defer func() {
		tmp.Close()
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	h := sha512.New()
	// A writer's error is the disk's and stays; a reader's is the network's.
	body := &reader{r: io.LimitReader(resp.Body, MaxTarball+1)}
	n, err := io.Copy(io.MultiWriter(tmp, h), body)
	switch {
	case body.err != nil:
		return transient{fmt.Errorf("after %d bytes: %w", n, body.err)}
	case err != nil:
		return err
	case n > MaxTarball:
		return fmt.Errorf("tarball is larger than %d bytes", MaxTarball)
	}
	if got := h.Sum(nil); subtle.ConstantTimeCompare(got, sum) != 1 {
		return fmt.Errorf("%w: %d bytes with sha512-%s came, sha512-%s is locked: the registry serves another package than the lock names",
			ErrIntegrity, n, base64.StdEncoding.EncodeToString(got), base64.StdEncoding.EncodeToString(sum))
	}
	if err := tmp.Chmod(0o444); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// reader remembers the error that ended its reader.
type reader struct {
	r   io.Reader
	err error
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
