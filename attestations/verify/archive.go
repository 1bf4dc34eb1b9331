package verify

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
)

// Bounds of what is unpacked. The largest artifact holds about 330 MB in two
// binaries.
const (
	maxMembers  = 10_000
	maxMember   = 1 << 30
	maxUnpacked = 4 << 30
	maxPadding  = 1 << 20 // zeros behind the end of a tar archive
	maxHeaders  = 1 << 13 // what a tar archive says of one member before its content
)

// The modes that a file in an archive may have: neither can take anybody's
// rights, nor be written to by everybody.
const (
	plainMode   = "0644"
	programMode = "0755"
)

// An unpacker takes the entries of an archive, one after another, and holds
// each against the members that are expected, in their order. Nothing is
// written anywhere.
type unpacker struct {
	want    []artifact.File
	keep    func(artifact.File) bool // whether see is to get the content of that member
	see     func(f artifact.File, content []byte) error
	next    int
	count   int
	total   int64
	names   map[string]bool // in lower case, for file systems that fold it
	folders map[string]bool // that the expected members are in
}

func newUnpacker(want []artifact.File, keep func(artifact.File) bool, see func(artifact.File, []byte) error) *unpacker {
	u := &unpacker{want: want, keep: keep, see: see, names: map[string]bool{}, folders: map[string]bool{}}
	for _, f := range want {
		for dir := path.Dir(f.Name); dir != "." && dir != "/"; dir = path.Dir(dir) {
			u.folders[dir] = true
		}
	}
	return u
}

// An entry is what an archive says of one member, whatever its format.
type entry struct {
	name   string // a folder's without the slash at its end
	folder bool
	mode   int64
	size   int64
}

// enter judges an entry before anything of its content is read.
func (u *unpacker) enter(e entry) error {
	switch {
	case !safeName(e.name):
		return fmt.Errorf("%w: %.200q leads out of its folder, or means something else on some system", ErrMemberName, e.name)
	case u.names[strings.ToLower(e.name)]:
		return fmt.Errorf("%w: %.200q", ErrDuplicate, e.name)
	}
	u.names[strings.ToLower(e.name)] = true
	if u.count++; u.count > maxMembers {
		return fmt.Errorf("%w: more than %d members", ErrTooLarge, maxMembers)
	}
	if u.total += e.size; e.size < 0 || e.size > maxMember || u.total > maxUnpacked {
		return fmt.Errorf("%w: member %.200q of %d bytes", ErrTooLarge, e.name, e.size)
	}
	if e.folder {
		if !u.folders[e.name] || e.size != 0 || e.mode != 0o755 {
			return fmt.Errorf("%w: folder %.200q holds none of its files, or has mode %o", ErrMember, e.name, e.mode)
		}
		return nil
	}
	if u.next == len(u.want) || u.want[u.next].Name != e.name {
		return fmt.Errorf("%w: %.200q is not listed there, or out of order", ErrMember, e.name)
	}
	f := u.want[u.next]
	if f.Size != e.size || f.Mode != fmt.Sprintf("%04o", e.mode) {
		return fmt.Errorf("%w: %.200q has %d bytes and mode %04o, not %d and %s", ErrMember, e.name, e.size, e.mode, f.Size, f.Mode)
	}
	if f.Mode != plainMode && f.Mode != programMode {
		return fmt.Errorf("%w: %.200q has mode %s", ErrMemberType, e.name, f.Mode)
	}
	return nil
}

// read hashes the content of the entry that was entered last.
func (u *unpacker) read(r io.Reader) error {
	f := u.want[u.next]
	u.next++
	h := sha256.New()
	var content []byte
	var err error
	if u.keep(f) {
		content = make([]byte, f.Size) // bounded by enter
		if _, err = io.ReadFull(r, content); err == nil {
			h.Write(content)
		}
	} else {
		_, err = io.CopyN(h, r, f.Size)
	}
	if err == nil {
		err = ended(r)
	}
	if err != nil {
		return fmt.Errorf("%w: reading %.200q: %w", ErrArchive, f.Name, err)
	}
	if digestOf(h) != f.Digest {
		return fmt.Errorf("%w: %.200q has the digest %s, not %s", ErrMember, f.Name, digestOf(h), f.Digest)
	}
	return u.see(f, content)
}

func (u *unpacker) finish() error {
	if u.next < len(u.want) {
		return fmt.Errorf("%w: %.200q is missing", ErrMember, u.want[u.next].Name)
	}
	return nil
}

func digestOf(h hash.Hash) artifact.Digest {
	d, _ := artifact.ParseDigest(fmt.Sprintf("sha256:%x", h.Sum(nil)))
	return d
}

// ended is nil if r has nothing left.
func ended(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	if n > 0 {
		return errors.New("it is longer than it says")
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// safeName reports whether a name means the same file below the folder that
// it is unpacked in on every system: of letters without accents, of which no
// system makes others, and none that Windows cuts or keeps for its devices.
func safeName(name string) bool {
	if !fs.ValidPath(name) || module.CheckFilePath(name) != nil {
		return false
	}
	for element := range strings.SplitSeq(name, "/") {
		if strings.TrimSpace(element) != element {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII })
}

// tarGz reads a gzip-compressed tar archive to its last byte.
func (u *unpacker) tarGz(r io.Reader) error {
	packed := bufio.NewReaderSize(r, 1<<16) // gzip reads a ByteReader no further than its end
	z, err := gzip.NewReader(packed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	z.Multistream(false)
	unpacked := bufio.NewReaderSize(&bounded{z, u.most()}, 1<<16)
	t := tar.NewReader(unpacked)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
		e, err := tarEntry(h)
		if err == nil {
			err = u.enter(e)
		}
		if err == nil && !e.folder {
			err = u.read(t)
		}
		if err != nil {
			return err
		}
	}
	if err := padding(unpacked); err != nil {
		return err
	}
	if err := ended(packed); err != nil {
		return fmt.Errorf("%w: something follows the compressed data", ErrArchive)
	}
	return u.finish()
}

// most is how many bytes a tar archive of the expected members can have.
func (u *unpacker) most() int64 {
	n := int64(maxPadding)
	for _, f := range u.want {
		n += max(0, min(f.Size, maxMember)) + maxHeaders
	}
	return n + int64(len(u.folders))*maxHeaders
}

// A bounded reader refuses to read more than so many bytes: headers of no
// member, of which package tar reads any number, come to an end too.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: it unpacks to more than its members", ErrTooLarge)
	}
	return n, err
}

func tarEntry(h *tar.Header) (entry, error) {
	e := entry{name: h.Name, mode: h.Mode, size: h.Size}
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		e.folder, e.name = true, strings.TrimSuffix(h.Name, "/")
	default:
		if !safeName(h.Name) {
			return e, fmt.Errorf("%w: %.200q", ErrMemberName, h.Name)
		}
		return e, fmt.Errorf("%w: %.200q is of type %q", ErrMemberType, h.Name, h.Typeflag)
	}
	// Everything else that can be said of a member changes what is unpacked:
	// holes, owners, extended attributes.
	for key := range h.PAXRecords {
		if key != "path" {
			return e, fmt.Errorf("%w: %.200q has a record %.60q", ErrMemberType, h.Name, key)
		}
	}
	// A header of no format, or of parts of several, is read in as many ways.
	if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.Linkname != "" || h.Format != tar.FormatUSTAR && h.Format != tar.FormatPAX {
		return e, fmt.Errorf("%w: %.200q has an owner, a target or a format that is neither USTAR nor PAX", ErrMemberType, h.Name)
	}
	return e, nil
}

// padding reads the zeros behind the end of a tar archive, and with them the
// checksum of the compressed data.
func padding(r io.Reader) error {
	buf := make([]byte, 4096)
	for total := 0; ; {
		n, err := r.Read(buf)
		if total += n; total > maxPadding {
			return fmt.Errorf("%w: more than %d bytes behind its end", ErrTooLarge, maxPadding)
		}
		if strings.Trim(string(buf[:n]), "\x00") != "" {
			return fmt.Errorf("%w: something follows its end", ErrArchive)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrArchive, err)
		}
	}
}
