package npm

import (
	"archive/tar"
	"bytes"
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
// directory dir, which is made when missing and must be empty. The folder that all
// members lie in, "package/" or another, is dropped. Files get mode 0755 when any of their
// run bits is set and 0644 otherwise, whatever the umask is; owners and times
// are not kept. A member that is neither file nor directory, lies outside that
// folder, or comes twice and is not the same is an error, and so is an archive beyond the
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
// under its name without the folder that all lie in, within the bounds of Unpack
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
		if total += h.Size; total > maxRead {
			return fmt.Errorf("%w: more than %d bytes asked for", ErrArchive, maxRead)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return fmt.Errorf("%w: member %q: %w", ErrArchive, h.Name, err)
		}
		if before, ok := found[name]; ok && !bytes.Equal(before, data) {
			return fmt.Errorf("%w: member %q comes twice, and is not the same", ErrArchive, h.Name)
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
	var top string
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
		name, err := memberName(h.Name, &top)
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			if name == "." {
				return fmt.Errorf("%w: member %q lies in no folder", ErrArchive, h.Name)
			}
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

// memberName is the name below top, which is the folder of the first member, and
// without "./" behind that, which some packers write; or an error where it is not a
// clean path below it.
func memberName(full string, top *string) (string, error) {
	refused := fmt.Errorf("%w: member %q is not a plain path below one folder, package/ or another", ErrArchive, full)
	folder, name, below := strings.Cut(strings.TrimSuffix(full, "/"), "/")
	if *top == "" {
		*top = folder
	}
	if folder != *top || folder == "" || strings.HasPrefix(folder, ".") || strings.ContainsAny(full, "\\\x00") {
		return "", refused
	}
	if !below {
		return ".", nil
	}
	name = strings.TrimPrefix(name, "./")
	if name == "" || len(name) > maxPath || strings.Count(name, "/") >= maxDepth || path.Clean("/"+name) != "/"+name {
		return "", refused
	}
	return name, nil
}

// sameMember refuses a second member of a name that is not as the first: some
// packers write a file twice.
func sameMember(root *os.Root, name string, h *tar.Header, from io.Reader) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	twice := fmt.Errorf("%w: member %q comes twice, and is not the same", ErrArchive, h.Name)
	if !info.Mode().IsRegular() || info.Size() != h.Size || info.Size() > maxRead {
		return twice
	}
	there, err := root.ReadFile(name)
	if err != nil {
		return err
	}
	again, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("%w: member %q: %w", ErrArchive, h.Name, err)
	}
	if !bytes.Equal(there, again) {
		return twice
	}
	return nil
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
		return sameMember(root, name, h, from)
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
