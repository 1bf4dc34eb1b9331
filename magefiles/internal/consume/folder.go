package consume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// Names of what was built and is no artifact.
const (
	manifestName = "release.json"
	sumsName     = "SHA256SUMS"
	binFolder    = "bin" // of loose binaries, which are not published
)

// Describe lists the files of the release in a folder, with their digests. What it
// is that was built, release.json tells, which nobody need have signed.
func Describe(ctx context.Context, root *os.Root) (Listing, error) {
	data, err := readSmall(root, manifestName, artifact.MaxManifestSize)
	if err != nil {
		return Listing{}, err
	}
	m, err := artifact.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return Listing{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	files, err := sizes(root)
	if err != nil {
		return Listing{}, err
	}
	var l Listing
	built := built(m)
	for _, f := range files {
		if built[f.Name] {
			l.Release = append(l.Release, f)
			delete(built, f.Name)
		} else {
			l.Said = append(l.Said, f)
		}
	}
	for name := range built {
		return Listing{}, fmt.Errorf("%w: there is no %s, which release.json names: take the release anew, or build it again", ErrForm, name)
	}
	for _, list := range [][]File{l.Release, l.Said} {
		for n := range list {
			if err := list[n].read(ctx, root); err != nil {
				return Listing{}, err
			}
		}
	}
	return l, l.validate()
}

// built are the names of what was built, of what is published.
func built(m *artifact.Manifest) map[string]bool {
	all := map[string]bool{manifestName: true, sumsName: true}
	documents := func(files []artifact.File) {
		for _, f := range files {
			all[f.Name] = !strings.HasPrefix(f.Name, binFolder+"/")
		}
	}
	for _, r := range m.Artifacts {
		all[r.Name] = true
		documents(r.Documents)
	}
	for _, i := range m.Images {
		all[i.Name] = true
		documents(i.Documents)
	}
	for name, published := range all {
		if !published {
			delete(all, name)
		}
	}
	return all
}

// sizes are the files in a folder, sorted by name, of which nothing was read.
func sizes(root *os.Root) ([]File, error) {
	var all []File
	var total int64
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == binFolder && e.IsDir():
			return fs.SkipDir
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("%w: %.300q is not a regular file", ErrForm, name)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all = append(all, File{Name: name, Size: info.Size()})
		if total += info.Size(); len(all) > unpack.MaxMembers || total > unpack.MaxUnpacked {
			return fmt.Errorf("%w: more than %d files, or than %d bytes", ErrTooLarge, unpack.MaxMembers, int64(unpack.MaxUnpacked))
		}
		return nil
	})
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// read learns the digest of a file, which must not grow.
func (f *File) read(ctx context.Context, root *os.Root) error {
	in, err := open(root, f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	digest, n, err := artifact.DigestReader(io.LimitReader(unpack.Cancellable(ctx, in), f.Size+1))
	if err == nil && n != f.Size {
		err = fmt.Errorf("%w: %q changed while it was read", ErrForm, f.Name)
	}
	f.Digest = digest
	return err
}

// open opens a regular file. A symbolic link is none.
func open(root *os.Root, name string) (*os.File, error) {
	// Looked at before it is opened, for opening a pipe waits for its writer.
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing in %s: %w", ErrNone, name, root.Name(), err)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %q is not a regular file", ErrForm, name)
	}
	if err != nil {
		return nil, err
	}
	return root.Open(name)
}

func readSmall(root *os.Root, name string, most int64) ([]byte, error) {
	in, err := open(root, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, most)
	}
	return data, err
}

// Copy copies what l lists, and nothing else, from one folder into another that is
// new, and has it on disk. What has another digest is refused.
func Copy(ctx context.Context, from, to *os.Root, l Listing) error {
	for _, f := range l.all() {
		in, err := open(from, f.Name)
		if err != nil {
			return err
		}
		err = f.put(ctx, to, in, (*os.File).Sync)
		in.Close()
		if err != nil {
			return fmt.Errorf("copying %s: %w", f.Name, err)
		}
	}
	return nil
}

// put writes a file of this content, or none. finish is called when it is whole.
func (f File) put(ctx context.Context, to *os.Root, content io.Reader, finish func(*os.File) error) error {
	if err := to.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
		return err
	}
	out, err := to.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	digest, n, err := artifact.DigestReader(io.TeeReader(io.LimitReader(unpack.Cancellable(ctx, content), f.Size+1), out))
	if err == nil && (n != f.Size || digest != f.Digest) {
		err = fmt.Errorf("%w: %q is %s of %d bytes, and not %s of %d", ErrMismatch, f.Name, digest, n, f.Digest, f.Size)
	}
	if err == nil && finish != nil {
		err = finish(out)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		_ = to.Remove(f.Name)
	}
	return err
}
