// Package sign signs a release: every artifact and image, what is said of it,
// and the index, last. Of an image it also signs, one by one, what a registry
// keeps with the index and with the image of every platform, so that whoever
// publishes needs no key. It reads finished files, holds each against
// release.json, and runs nothing; so it can work on another machine than the
// build did.
//
// It signs nothing unless every artifact and image, and what is said of it, is
// what the index says, and it does not sign again what the same key has signed.
// Each bundle is written whole or not at all: a signing that is interrupted goes
// on where it stopped.
//
// It refuses a file that is not the one of the index, an image that holds other
// manifests, a provenance that does not say what the index says, and a test
// result or an OpenVEX document of something else.
package sign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/releases"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// Why a release is not signed.
var (
	ErrNothing  = errors.New("there is nothing to sign")
	ErrMismatch = errors.New("it is not what release.json says")
)

// A Hand is who signs.
type Hand struct {
	// Trust opens the bundles that this hand has signed; nil if nobody can tell
	// before it signs, which it then does anew.
	Trust  *bundle.Trust
	Public []byte // cosign.pub, nil if no key of the user's signs
	Root   []byte // trusted_root.json for whoever verifies
	// Open is called if there is something to sign, and once at most.
	Open func(context.Context) (signing.Signer, error)
}

// A Result is what was done.
type Result struct {
	Signed, Kept int    // bundles
	By           string // who signed; empty if nothing was
}

// A memo is what a run found signed, so that the next one need not look at it.
type memo struct {
	Stamp artifact.Digest `json:"stamp"` // of the directory, and of who signs
	Kept  int             `json:"kept"`
}

// A task is one bundle of a release.
type task struct {
	of     string // the file that is signed, or that the statement is of
	bundle string // where the bundle lies
	image  string // the file of the image that it is of; empty if of none
	read   func() (signing.Content, error)
}

// beside is a task whose bundle lies beside the file.
func beside(of string, read func() (signing.Content, error)) task {
	return task{of: of, bundle: dist.Bundle(of), read: read}
}

// Remembering is Release, but that it believes the file called name, where the
// former Remembering wrote what it found signed: as long as no file in dir was
// written since, nothing is read. Whoever verifies reads everything.
func Remembering(ctx context.Context, dir string, hand Hand, name string) (Result, error) {
	if hand.Trust == nil {
		return Release(ctx, dir, hand)
	}
	var m memo
	if data, err := os.ReadFile(name); err == nil && json.Unmarshal(data, &m) == nil {
		if stamp, err := stampOf(dir, hand); err == nil && stamp == m.Stamp {
			return Result{Kept: m.Kept}, nil
		}
	}
	result, err := Release(ctx, dir, hand)
	if err != nil {
		return result, err
	}
	if m.Stamp, err = stampOf(dir, hand); err != nil {
		return result, err
	}
	m.Kept = result.Signed + result.Kept
	data, err := json.Marshal(m)
	if err != nil {
		return result, err
	}
	return result, store.WriteFile(name, 0o600, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func stampOf(dir string, hand Hand) (artifact.Digest, error) {
	stamp, err := dist.Stamp(dir)
	return artifact.DigestBytes(fmt.Appendf(nil, "%s\n%q\n%q\n", stamp, hand.Public, hand.Root)), err
}

// Release signs what lies in dir. Others must neither publish nor sign there
// meanwhile.
func Release(ctx context.Context, dir string, hand Hand) (Result, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Result{}, fmt.Errorf("%w: %s does not exist: run mage build", ErrNothing, dir)
	} else if err != nil {
		return Result{}, fmt.Errorf("signing: %w", err)
	}
	defer root.Close()
	r := release{dir: dir, root: root}
	result, err := r.sign(ctx, hand)
	if err != nil {
		return Result{}, fmt.Errorf("signing what is in %s: %w", dir, err)
	}
	return result, nil
}

type release struct {
	dir     string
	root    *os.Root
	records []artifact.Record
	images  []artifact.Image

	distribution string
}

func (r *release) sign(ctx context.Context, hand Hand) (Result, error) {
	all, err := r.tasks()
	if err != nil {
		return Result{}, err
	}
	pending := make([]bool, len(all))
	err = inParallel(ctx, len(all), func(i int) (err error) {
		pending[i], err = r.pending(all[i], hand.Trust)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	if err := inParallel(ctx, len(r.records), func(i int) error { return r.held(r.records[i]) }); err != nil {
		return Result{}, err
	}
	if err := r.imagesHeld(ctx, all, pending); err != nil {
		return Result{}, err
	}
	var result Result
	for _, p := range pending {
		if p {
			result.Signed++
		} else {
			result.Kept++
		}
	}
	if result.Signed > 0 {
		if result.By, err = r.signEach(ctx, all, pending, hand); err != nil {
			return Result{}, err
		}
	}
	if err := r.tidy(all); err != nil {
		return Result{}, err
	}
	return result, r.handOut(hand)
}

// signEach signs the tasks that are pending: the first alone, which shows who signs
// and whether that works; then all others, several at once, for a transparency log
// keeps whoever signs waiting; and the last alone again.
func (r *release) signEach(ctx context.Context, all []task, pending []bool, hand Hand) (by string, err error) {
	signer, err := hand.Open(ctx)
	if err != nil {
		return "", err
	}
	var todo []task
	for i, t := range all {
		if pending[i] {
			todo = append(todo, t)
		}
	}
	middle := max(len(todo)-1, 1) // where the last is
	for _, part := range [][]task{todo[:1], todo[1:middle], todo[middle:]} {
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(signAtOnce)
		for _, t := range part {
			group.Go(func() error { return r.signOne(inner, t, signer) })
		}
		if err := group.Wait(); err != nil {
			return "", err
		}
	}
	return signer.Identity(), nil
}

// signAtOnce is how many signatures are waited for at once.
const signAtOnce = 8

func (r *release) signOne(ctx context.Context, t task, signer signing.Signer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	content, err := t.read()
	if err != nil {
		return err
	}
	data, err := signer.Sign(ctx, content)
	if err != nil {
		return fmt.Errorf("%s: %w", t.of, err)
	}
	return r.write(t.bundle, data)
}

// tasks reads the index and lists what is to be signed: of each artifact and
// image, and the index itself, last.
func (r *release) tasks() ([]task, error) {
	data, err := r.read(dist.Index, artifact.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no release.json: run mage build", ErrNothing)
	} else if err != nil {
		return nil, err
	}
	m, err := artifact.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if len(m.Artifacts) == 0 {
		return nil, fmt.Errorf("%w: release.json names no artifact: run mage build", ErrNothing)
	}
	r.records, r.images, r.distribution = m.Artifacts, m.Images, m.Distribution
	var all []task
	for _, rec := range m.Artifacts {
		all = append(all,
			beside(rec.Name, func() (signing.Content, error) { return signing.File(rec.Digest) }),
			beside(dist.Document(rec, ""), func() (signing.Content, error) { return r.document(rec) }),
			beside(dist.Provenance(rec), func() (signing.Content, error) { return r.provenance(rec) }),
		)
		if name := dist.TestResult(rec); r.has(name) {
			all = append(all, beside(name, func() (signing.Content, error) { return r.result(rec) }))
		}
		if name := dist.VEX(rec); r.has(name) {
			all = append(all, beside(name, func() (signing.Content, error) { return r.vulnerabilities(rec) }))
		}
	}
	for _, i := range m.Images {
		all = append(all, r.imageTasks(i)...)
	}
	if r.has(releases.NotesName) {
		all = append(all, beside(releases.NotesName, r.notes))
	}
	return append(all, beside(dist.Index, func() (signing.Content, error) { return signing.File(artifact.DigestBytes(data)) })), nil
}

// pending reports whether there is no bundle of t that trust opens.
func (r *release) pending(t task, trust *bundle.Trust) (bool, error) {
	content, err := t.read()
	if err != nil || trust == nil {
		return true, err
	}
	data, err := r.read(t.bundle, maxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	_, err = content.Open(data, *trust)
	if errors.Is(err, bundle.ErrTrust) {
		return false, err
	}
	return err != nil, nil
}

// held holds an archive against its record.
func (r *release) held(rec artifact.Record) error {
	f, err := r.open(rec.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	return held(f, rec.Name, rec.Digest, rec.Size)
}

func held(f io.Reader, name string, want artifact.Digest, bytes int64) error {
	digest, size, err := artifact.DigestReader(f)
	if err == nil && (digest != want || size != bytes) {
		err = fmt.Errorf("%w: %s has the digest %s: build again, or take it anew", ErrMismatch, name, digest)
	}
	return err
}

// handOut puts beside the artifacts what stock verifiers want to be given.
func (r *release) handOut(hand Hand) error {
	if err := r.write(dist.TrustedRoot, hand.Root); err != nil {
		return err
	}
	if hand.Public != nil {
		return r.write(dist.PublicKey, hand.Public)
	}
	if err := r.root.Remove(dist.PublicKey); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write writes a file, unless it is there already.
func (r *release) write(name string, data []byte) error {
	if old, err := r.read(name, int64(len(data))); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := r.folders(path.Dir(name)); err != nil {
		return err
	}
	return store.WriteFile(filepath.Join(r.dir, name), 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// open opens a regular file.
func (r *release) open(name string) (*os.File, error) {
	info, err := r.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrMismatch, name)
	}
	return r.root.Open(name)
}

// read reads a regular file of at most max bytes.
func (r *release) read(name string, max int64) ([]byte, error) {
	f, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrMismatch, name, max)
	}
	return data, err
}

func (r *release) has(name string) bool {
	_, err := r.root.Lstat(name)
	return err == nil
}

// inParallel calls do for 0 to n-1 and returns the first error it meets.
func inParallel(ctx context.Context, n int, do func(i int) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			if err := inner.Err(); err != nil {
				return err
			}
			return do(i)
		})
	}
	return group.Wait()
}
