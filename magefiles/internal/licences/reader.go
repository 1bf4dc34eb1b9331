package licences

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/npm"
	"palisade/magefiles/internal/store"
)

// step names what the store keeps. Raise it with every change of Found's form,
// of what is told, and of licensecheck's version: what was kept before would
// be read as if it were found today, with what is new in it empty.
const step = "licence-4"

// maxStream bounds what is unpacked of a tarball, in bytes.
var maxStream int64 = 2 << 30 // a variable for the tests alone

// A Reader reads packages, each once: what it found is kept in the store, and
// the texts there by their digest, each once in memory. It may be used by
// several goroutines.
type Reader struct {
	Store *store.Store

	mu    sync.Mutex
	texts map[string]string // by digest
}

// Module reads the zip file of a Go module: the whole of it, whatever is
// linked (see Found.For). It must be what was verified.
func (r *Reader) Module(ctx context.Context, m modules.Module) (Found, error) {
	key := store.NewKey(step, "module", m.Path, m.Version.Version, m.Sum, m.ZipDigest.String())
	found, err := r.cached(ctx, key, func() (Found, error) {
		f, err := os.Open(m.Zip)
		if err != nil {
			return Found{}, err
		}
		defer f.Close()
		h256, h512 := sha256.New(), sha512.New()
		size, err := io.Copy(io.MultiWriter(h256, h512), f)
		if err != nil {
			return Found{}, err
		}
		if hex.EncodeToString(h256.Sum(nil)) != m.ZipDigest.Hex() {
			return Found{}, fmt.Errorf("%w: %s was changed after it was fetched; remove it and build again", modules.ErrChanged, m.Zip)
		}
		w, err := zipWalk(f, size, m.String()+"/")
		if err != nil {
			return Found{}, err
		}
		found, err := collect(w)
		found.SHA256, found.SHA512 = m.ZipDigest.Hex(), hex.EncodeToString(h512.Sum(nil))
		return found, err
	})
	if err != nil {
		return Found{}, fmt.Errorf("reading the licence of %s: %w", m.Version, err)
	}
	return found, nil
}

// NPM reads the tarball of an npm package, which fetch is asked for where it
// was not read before. It must have p's integrity.
func (r *Reader) NPM(ctx context.Context, p artifact.Package, fetch func(context.Context, artifact.Package) (tarball string, err error)) (Found, error) {
	key := store.NewKey(step, "npm", p.Name, p.Version, p.Integrity)
	found, err := r.cached(ctx, key, func() (Found, error) {
		tarball, err := fetch(ctx, p)
		if err != nil {
			return Found{}, err
		}
		f, err := os.Open(tarball)
		if err != nil {
			return Found{}, err
		}
		defer f.Close()
		h256, h512 := sha256.New(), sha512.New()
		if _, err := io.Copy(io.MultiWriter(h256, h512), io.LimitReader(f, npm.MaxTarball+1)); err != nil {
			return Found{}, err
		}
		sum := h512.Sum(nil)
		if "sha512-"+base64.StdEncoding.EncodeToString(sum) != p.Integrity {
			return Found{}, fmt.Errorf("%w: %s; remove it and build again", npm.ErrIntegrity, tarball)
		}
		found, err := collect(tarWalk(f))
		found.SHA256, found.SHA512 = hex.EncodeToString(h256.Sum(nil)), hex.EncodeToString(sum)
		return found, err
	})
	if err != nil {
		return Found{}, fmt.Errorf("reading the licence of npm package %s@%s: %w", p.Name, p.Version, err)
	}
	return found, nil
}

// Dir reads an unpacked package that the caller has verified, and that key
// names with its hash. SHA512 is not set. What is neither file nor folder is
// passed over.
func (r *Reader) Dir(ctx context.Context, key string, fsys fs.FS) (Found, error) {
	found, err := r.cached(ctx, store.NewKey(step, "dir", key), func() (Found, error) {
		return collect(func(visit func(string, func() (io.ReadCloser, error)) error) error {
			return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				return visit(name, func() (io.ReadCloser, error) { return fsys.Open(name) })
			})
		})
	})
	if err != nil {
		return Found{}, fmt.Errorf("reading the licence of %s: %w", key, err)
	}
	return found, nil
}

// cached is what produce found, now or before. The texts lie beside it, each
// in a file called by its digest.
func (r *Reader) cached(ctx context.Context, key store.Key, produce func() (Found, error)) (Found, error) {
	found, entry, _, err := store.Do(ctx, r.Store, key, func(ctx context.Context, dir string) (Found, error) {
		found, err := produce()
		if err != nil {
			return Found{}, err
		}
		for _, t := range found.Texts {
			if err := os.WriteFile(filepath.Join(dir, t.Digest), []byte(t.Content), 0o644); err != nil {
				return Found{}, err
			}
		}
		return found, nil
	})
	if err != nil {
		return Found{}, err
	}
	for i := range found.Texts {
		if found.Texts[i].Content, err = r.content(entry, found.Texts[i].Digest); err != nil {
			return Found{}, err
		}
	}
	return found.judged(), nil
}

func (r *Reader) content(entry store.Entry, sum string) (string, error) {
	r.mu.Lock()
	known, ok := r.texts[sum]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	f, err := entry.Open(sum)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.texts == nil {
		r.texts = map[string]string{}
	}
	r.texts[sum] = string(data)
	return string(data), nil
}

// zipWalk walks a module's zip file, all of which lies below prefix.
func zipWalk(f io.ReaderAt, size int64, prefix string) (walk, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return func(visit func(string, func() (io.ReadCloser, error)) error) error {
		for _, m := range z.File {
			name, ok := strings.CutPrefix(m.Name, prefix)
			if !ok || !fs.ValidPath(name) || !m.Mode().IsRegular() {
				return fmt.Errorf("%w: its zip file holds %q, no file of the module", ErrSource, m.Name)
			}
			if err := visit(name, m.Open); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// tarWalk walks an npm tarball, the files of which lie in one folder of any
// name.
func tarWalk(f io.ReadSeeker) walk {
	return func(visit func(string, func() (io.ReadCloser, error)) error) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		gz, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSource, err)
		}
		stream := &io.LimitedReader{R: gz, N: maxStream}
		for t := tar.NewReader(stream); ; {
			h, err := t.Next()
			if stream.N <= 0 {
				return fmt.Errorf("%w: more than %d bytes unpacked", ErrSource, maxStream)
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%w: %w", ErrSource, err)
			}
			if h.Typeflag != tar.TypeReg {
				continue
			}
			_, name, ok := strings.Cut(h.Name, "/")
			if name = path.Clean(name); !ok || !fs.ValidPath(name) {
				return fmt.Errorf("%w: its tarball holds %q, no file of a package", ErrSource, h.Name)
			}
			if err := visit(name, func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); err != nil {
				return err
			}
		}
	}
}

// For is what matters to those who use only the packages in dirs, folders below
// the package's root ("" is the root itself): the texts that lie in them or
// above them.
func (f Found) For(dirs []string) Found {
	f.partial = true
	f.whole, _, _ = f.tell()
	keep, linked := map[string]bool{}, map[string]bool{}
	for _, dir := range dirs {
		linked[dir] = true
		for _, d := range above(dir) {
			keep[d] = true
		}
	}
	f.Texts = slices.DeleteFunc(slices.Clone(f.Texts), func(t Text) bool { return !keep[folder(t.Name)] })
	f.Heads = slices.DeleteFunc(slices.Clone(f.Heads), func(h Head) bool { return !linked[h.Dir] })
	return f.judged()
}

// judged fills in what follows from the texts.
func (f Found) judged() Found {
	f.Expression, f.Unknown, f.Copyright = "", nil, nil
	var all []string
	for _, t := range f.Texts {
		if !t.Told {
			f.Unknown = append(f.Unknown, t.Name)
		}
		all = append(all, t.Licences...)
		f.Copyright = append(f.Copyright, t.Copyright...)
	}
	for _, h := range f.Heads {
		f.Copyright = append(f.Copyright, h.Copyright...)
		for _, t := range h.Tags {
			f.Unknown = append(f.Unknown, fmt.Sprintf("%s (SPDX-License-Identifier %s, of which there is no text)", t.File, t.Says))
		}
	}
	if len(f.Unknown) == 0 && slices.ContainsFunc(f.Texts, func(t Text) bool { return !t.Notice }) {
		f.Expression = Combine(all)
	}
	slices.Sort(f.Copyright)
	f.Copyright = slices.Compact(f.Copyright)
	return f
}
