package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// Unpack makes a Source of an artifact of the release that lies in dir: its
// archive is unpacked below temp, into files whose names are their digests, and
// is refused if it is not, member for member, what r says.
func Unpack(ctx context.Context, dir, temp string, r artifact.Record, licence string) (Source, error) {
	err := extractAll(ctx, filepath.Join(dir, r.Name), temp, r)
	if ended := ctx.Err(); ended != nil {
		err = ended
	}
	if err != nil {
		return Source{}, fmt.Errorf("unpacking %s: %w", r.Name, err)
	}
	members := map[artifact.File]bool{}
	for _, f := range r.Members {
		members[f] = true
	}
	return Source{Record: r, Licence: licence, Open: func(f artifact.File) (io.ReadCloser, error) {
		if members[f] {
			return os.Open(filepath.Join(temp, f.Digest.Hex()))
		}
		return os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
	}}, nil
}

func extractAll(ctx context.Context, name, temp string, r artifact.Record) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	whole, next := &counter{sum: sha256.New()}, 0
	var failed error // what ended it that says nothing of the archive
	err = unpack.TarGz(io.TeeReader(unpack.Cancellable(ctx, f), whole), func(e unpack.Entry, content io.Reader) error {
		if e.Folder {
			return nil
		}
		if next == len(r.Members) || e.Name != r.Members[next].Name || e.Size != r.Members[next].Size || fmt.Sprintf("%04o", e.Mode) != r.Members[next].Mode {
			return fmt.Errorf("%q is not the member that its record names next", e.Name)
		}
		next++
		return extract(content, temp, r.Members[next-1], &failed)
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return fmt.Errorf("%w: after %d of %d members: %w", ErrSource, next, len(r.Members), err)
	case next < len(r.Members):
		return fmt.Errorf("%w: it holds %d of %d members; build it again", ErrSource, next, len(r.Members))
	case sumOf(whole.sum) != r.Digest: // TarGz has read it to its last byte
		return fmt.Errorf("%w: its digest is %s, not %s; build it again", ErrSource, sumOf(whole.sum), r.Digest)
	}
	return nil
}

// extract writes a member to temp. What fails in that is failed.
func extract(r io.Reader, temp string, f artifact.File, failed *error) error {
	out, err := os.CreateTemp(temp, ".member-*")
	if err != nil {
		*failed = err
		return err
	}
	defer out.Close()
	in, sum := &kept{r: r}, sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), in); in.err != nil {
		return fmt.Errorf("%s: %w", f.Name, in.err)
	} else if err != nil {
		*failed = fmt.Errorf("%s: %w", f.Name, err)
		return *failed
	}
	if got := sumOf(sum); got != f.Digest {
		return fmt.Errorf("%s is %s, not %s", f.Name, got, f.Digest)
	}
	*failed = errors.Join(out.Close(), os.Rename(out.Name(), filepath.Join(temp, f.Digest.Hex())))
	return *failed
}

// A kept reader remembers its error, which tells it from one of writing.
type kept struct {
	r   io.Reader
	err error
}

func (k *kept) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		k.err = err
	}
	return n, err
}
