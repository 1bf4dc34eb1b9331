package npm

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of what Unpack writes.
const (
	MaxUnpacked = 1 << 30 // bytes in all
	MaxMembers  = 100_000
	maxPath     = 1024
	maxDepth    = 64
)

// ErrArchive is what every refusal of a tarball wraps.
var ErrArchive = errors.New("unusable npm tarball")

// Unpack writes the tarball tgz, which npm.Client has verified, into the
// directory dir, which is made when missing and must be empty. The leading
// "package/" of every member is dropped. Files get mode 0755 when any of their
// run bits is set and 0644 otherwise, whatever the umask is; owners and times
// are not kept. A member that is neither file nor directory, lies outside
// "package/", or comes twice is an error, and so is an archive beyond the
// bounds. After an error dir holds a part: callers unpack below a temporary name.
func Unpack(tgz, dir string) error {
	f, err := os.Open(tgz)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if held, err := os.ReadDir(dir); err != nil {
		return err
	} else if len(held) > 0 {
		return fmt.Errorf("unpacking %s: %s is not empty", tgz, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unpack(f, root); err != nil {
		return fmt.Errorf("unpacking %s: %w", tgz, err)
	}
	return nil
}

// maxRead bounds what Read returns, in bytes.
const maxRead = 256 << 20

// Read returns the content of each of names that is a file of the tarball tgz,
// under its name without the leading "package/", within the bounds of Unpack
// and of 256 MiB in all.
func Read(tgz string, names []string) (map[string][]byte, error) {
	f, err := os.Open(tgz)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, total := map[string][]byte{}, int64(0)
	err = members(f, func(name string, h *tar.Header, content io.Reader) error {
		if h.Typeflag != tar.TypeReg || !slices.Contains(names, name) {
			return nil
		}
		if _, ok := found[name]; ok {
			return fmt.Errorf("%w: member %q comes twice", ErrArchive, h.Name)
		}
		if total += h.Size; total > maxRead {
			return fmt.Errorf("%w: more than %d bytes asked for", ErrArchive, maxRead)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return fmt.Errorf("%w: member %q: %w", ErrArchive, h.Name, err)
		}
		found[name] = data
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tgz, err)
	}
	return found, nil
}

func unpack(r io.Reader, root *os.Root) error {
	return members(r, func(name string, h *tar.Header, content io.Reader) error {
		if h.Typeflag == tar.TypeReg {
			return writeMember(root, name, h, content)
		}
		if err := root.MkdirAll(name, 0o755); err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
		return nil
	})
}

// members calls each with every member, a file or a directory.
func members(r io.Reader, each func(name string, h *tar.Header, content io.Reader) error) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	// Headers and padding count too, so the whole stream has room for them.
	stream := &io.LimitedReader{R: gz, N: MaxUnpacked + 2048*MaxMembers}
	archive := tar.NewReader(stream)
	var total int64
	for members := 1; ; members++ {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if members > MaxMembers {
			return fmt.Errorf("%w: more than %d members", ErrArchive, MaxMembers)
		}
		name, err := memberName(h.Name)
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			if total += h.Size; h.Size > MaxUnpacked || total > MaxUnpacked {
				return fmt.Errorf("%w: more than %d bytes unpacked", ErrArchive, MaxUnpacked)
			}
		default:
			return fmt.Errorf("%w: member %q is of type %q, neither file nor directory", ErrArchive, h.Name, h.Typeflag)
		}
		if err := each(name, h, archive); err != nil {
			return err
		}
	}
	// The checksum of gzip stands at its end.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return nil
}

// memberName is the name without "package/", or an error where it is not a
// clean path below it.
func memberName(full string) (string, error) {
	name, ok := strings.CutPrefix(strings.TrimSuffix(full, "/"), "package/")
	if full == "package/" || full == "package" {
		return ".", nil
	}
	if !ok || name == "" || len(name) > maxPath || strings.Count(name, "/") >= maxDepth ||
		path.Clean("/"+name) != "/"+name || strings.ContainsAny(name, "\\\x00") {
		return "", fmt.Errorf("%w: member %q is not a plain path below package/", ErrArchive, full)
	}
	return name, nil
}

func writeMember(root *os.Root, name string, h *tar.Header, from io.Reader) (err error) {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("member %q: %w", h.Name, err)
	}
	mode := os.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: member %q comes twice", ErrArchive, h.Name)
	}
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	// A reader's error is the archive's; a writer's is the disk's.
	body := &reader{r: from}
	if _, err := io.Copy(f, body); body.err != nil {
		return fmt.Errorf("%w: member %q: %w", ErrArchive, h.Name, body.err)
	} else if err != nil {
		return err
	}
	// The umask must not decide what a later step sees.
	return f.Chmod(mode)
}
