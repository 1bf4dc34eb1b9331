// Package unpack reads tar archives that others made, and writes nothing: each
// entry is judged before a byte of its content is read, and an archive is read
// to its last byte.
//
// It refuses names that mean another file on some system, or lead out of the
// folder that they are unpacked in (ErrName); everything that is neither a
// regular file nor a folder, whatever changes what is unpacked beside name,
// mode, owner and content: links, devices, holes, extended attributes, names of
// owners; and headers that are neither USTAR's nor PAX's (ErrType); a name twice,
// in whatever capitals (ErrDuplicate); what is larger than anything that is
// released, grows out of all proportion, or says more of a member than its name
// needs (ErrTooLarge); and what follows an end (ErrArchive). Which modes and owners
// a member may have is for those to judge who know what it is, see FileMode.
package unpack

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"

	"golang.org/x/mod/module"
)

// Bounds of one archive. The largest artifact holds about 330 MB in two
// binaries.
const (
	MaxMembers  = 10_000
	MaxMember   = 1 << 30 // bytes
	MaxUnpacked = 4 << 30 // bytes

	maxName    = 512     // bytes
	maxPadding = 1 << 20 // zeros behind the end of a tar archive
	maxHeaders = 1 << 13 // what a tar archive says of one member before its content

	// Compressed data may unpack to so many times its size, and so much more.
	// Binaries have a third of their size, the worst of documents a thirtieth.
	maxRatio = 100
	maxSlack = 16 << 20
)

// Why an archive is refused.
var (
	ErrArchive   = errors.New("malformed archive")
	ErrName      = errors.New("archive member with an unsafe name")
	ErrType      = errors.New("archive member that is neither file nor folder")
	ErrDuplicate = errors.New("archive member is there twice")
	ErrTooLarge  = errors.New("larger than anything that is read here")
)

// An Entry is what an archive says of one member, whatever its format.
type Entry struct {
	Name     string // a folder's without the slash at its end
	Folder   bool
	Mode     int64 // as chmod takes it
	UID, GID int
	Size     int64 // bytes
}

// A Wall is what every entry of one archive has to pass. The zero Wall has let
// nothing through yet.
type Wall struct {
	count int
	total int64
	names map[string]bool // in lower case, for file systems that fold it
}

// Enter judges an entry before anything of its content is read.
func (w *Wall) Enter(e Entry) error {
	folded := strings.ToLower(e.Name)
	switch {
	case len(e.Name) > maxName: // folder by folder it would cost as much as a whole archive
		return fmt.Errorf("%w: %.200q… is a name of %d bytes, more than %d", ErrTooLarge, e.Name, len(e.Name), maxName)
	case !SafeName(e.Name):
		return fmt.Errorf("%w: %.200q leads out of its folder, or means something else on some system", ErrName, e.Name)
	case w.names[folded]:
		return fmt.Errorf("%w: %.200q", ErrDuplicate, e.Name)
	}
	if w.names == nil {
		w.names = map[string]bool{}
	}
	w.names[folded] = true
	if w.count++; w.count > MaxMembers {
		return fmt.Errorf("%w: more than %d members", ErrTooLarge, MaxMembers)
	}
	if w.total += e.Size; e.Size < 0 || e.Size > MaxMember || w.total > MaxUnpacked {
		return fmt.Errorf("%w: member %.200q of %d bytes", ErrTooLarge, e.Name, e.Size)
	}
	return nil
}

// The modes that a file may have: neither can take anybody's rights, nor be
// written to by everybody.
const (
	PlainMode   = 0o644
	ProgramMode = 0o755
)

// FileMode refuses a file, which is no folder, of another mode.
func FileMode(e Entry) error {
	if e.Mode != PlainMode && e.Mode != ProgramMode {
		return fmt.Errorf("%w: %.200q has mode %04o", ErrType, e.Name, e.Mode)
	}
	return nil
}

// SafeName reports whether a name means the same file below the folder that
// it is unpacked in on every system: of letters without accents, of which no
// system makes others, and none that Windows cuts or keeps for its devices.
func SafeName(name string) bool {
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

// Cancellable is r until ctx is done, and then the error of that.
func Cancellable(ctx context.Context, r io.Reader) io.Reader { return cancellable{ctx, r} }

type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// AtEnd is nil if r has nothing left.
func AtEnd(r io.Reader) error {
	n, err := io.ReadFull(r, make([]byte, 1))
	if n > 0 {
		return errors.New("it is longer than it says")
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// TarGz reads a tar archive in one gzip stream to its last byte, see Tar.
func TarGz(r io.Reader, see func(Entry, io.Reader) error) error {
	return Gzip(r, func(unpacked io.Reader) error { return Tar(unpacked, see) })
}

// Gzip has read read what one gzip stream holds. Nothing may follow the stream.
func Gzip(r io.Reader, read func(unpacked io.Reader) error) error {
	in := &counter{r: r}
	packed := bufio.NewReaderSize(in, 1<<16) // gzip reads a ByteReader no further than its end
	z, err := gzip.NewReader(packed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	z.Multistream(false)
	if err := read(bufio.NewReaderSize(&bounded{in: in, out: counter{r: z}}, 1<<16)); err != nil {
		return err
	}
	if err := AtEnd(packed); err != nil {
		return fmt.Errorf("%w: something follows the compressed data", ErrArchive)
	}
	return nil
}

// Tar reads a tar archive to its last byte. It calls see with every entry that
// has passed a Wall, in their order, and with the content of a file; what see
// leaves of it is passed over, without being read if r is an io.Seeker that can.
// An error of see ends it.
func Tar(r io.Reader, see func(Entry, io.Reader) error) error {
	var wall Wall
	in := &metered{r: r, left: maxHeaders}
	t := tar.NewReader(in)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return padding(r)
		}
		if err != nil {
			return malformed(err)
		}
		e, err := entryOf(h)
		if err == nil {
			err = wall.Enter(e)
		}
		if err == nil {
			in.left = (e.Size+511)&^511 + maxHeaders // its content in whole blocks, and the next one's header
			err = see(e, t)
		}
		if err != nil {
			return err
		}
	}
}

// malformed is the error of an archive that cannot be read, unless it says
// more by itself.
func malformed(err error) error {
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrArchive, err)
}

func entryOf(h *tar.Header) (Entry, error) {
	e := Entry{Name: h.Name, Mode: h.Mode, UID: h.Uid, GID: h.Gid, Size: h.Size}
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		e.Folder, e.Name = true, strings.TrimSuffix(h.Name, "/")
	default:
		if !SafeName(h.Name) {
			return e, fmt.Errorf("%w: %.200q", ErrName, h.Name)
		}
		return e, fmt.Errorf("%w: %.200q is of type %q", ErrType, h.Name, h.Typeflag)
	}
	// Everything else that can be said of a member changes what is unpacked:
	// holes, owners by name, extended attributes.
	for key := range h.PAXRecords {
		if key != "path" {
			return e, fmt.Errorf("%w: %.200q has a record %.60q", ErrType, h.Name, key)
		}
	}
	// A header of no format, or of parts of several, is read in as many ways.
	if h.Uname != "" || h.Gname != "" || h.Linkname != "" || h.Format != tar.FormatUSTAR && h.Format != tar.FormatPAX {
		return e, fmt.Errorf("%w: %.200q has an owner's name, a target, or a format that is neither USTAR nor PAX", ErrType, h.Name)
	}
	if e.Folder && e.Size != 0 {
		return e, fmt.Errorf("%w: %.200q is a folder with content", ErrType, h.Name)
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
			return malformed(err)
		}
	}
}

// A metered reader refuses to read more than it was allowed: headers of no
// member, of which package tar reads any number, come to an end too.
type metered struct {
	r    io.Reader
	left int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes stand before a member", ErrTooLarge, maxHeaders)
	}
	return n, err
}

// Seek is what package tar skips content with, where r can.
func (m *metered) Seek(offset int64, whence int) (int64, error) {
	s, ok := m.r.(io.Seeker)
	if !ok || whence != io.SeekCurrent {
		return 0, errors.ErrUnsupported
	}
	m.left -= offset
	return s.Seek(offset, whence)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A bounded reader ends when more has come out than what went in can hold.
type bounded struct {
	in  *counter
	out counter
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.out.n > maxSlack+maxRatio*b.in.n {
		return 0, fmt.Errorf("%w: %d bytes, of %d compressed ones", ErrTooLarge, b.out.n, b.in.n)
	}
	return b.out.Read(p)
}
