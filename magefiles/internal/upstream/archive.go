package upstream

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Bounds of one archive. The largest holds about 330 MB in two programs.
const (
	maxPacked    = 1 << 29 // bytes
	maxMembers   = 1000
	maxMember    = 1 << 29 // bytes; a program is held in memory
	maxUnpacked  = 2 << 30 // bytes
	maxName      = 1024    // bytes, of a link's target too
	maxDepth     = 16      // folders
	maxDirectory = 1 << 20 // bytes that a zip archive takes to say what lies in it
)

// An Archive is a release archive: .tar.gz or .zip, which shows.
type Archive struct {
	io.ReaderAt
	Size int64 // bytes
}

// A header is what an archive says of an entry.
type header struct {
	name   string
	folder bool
	link   string // target, of a link
	mode   int64
	owner  string
	mtime  time.Time // zero if it says none
	more   string    // what it says beside, that unpacking may take over
}

// each calls see with every entry of an archive.
func (a Archive) each(see func(header, io.Reader) error) error {
	if a.Size > maxPacked {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, a.Size)
	}
	magic := make([]byte, 2)
	if _, err := a.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	left, count := int64(maxUnpacked), 0
	bounded := func(h header, r io.Reader) error {
		if count++; count > maxMembers {
			return fmt.Errorf("%w: more than %d members", ErrTooLarge, maxMembers)
		}
		if len(h.name) > maxName || len(h.link) > maxName || strings.Count(h.name, "/") > maxDepth {
			return fmt.Errorf("%w: a name of more than %d bytes or %d folders", ErrTooLarge, maxName, maxDepth)
		}
		in := &limited{r, min(left, maxMember)}
		err := see(h, in)
		if err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		left -= min(left, maxMember) - in.left
		if err != nil && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrArchive) && !errors.Is(err, errFound) {
			err = fmt.Errorf("%w: %.200q: %w", ErrArchive, h.name, err)
		}
		return err
	}
	switch string(magic) {
	case "\x1f\x8b":
		return a.tar(bounded)
	case "PK":
		return a.zip(bounded)
	}
	return fmt.Errorf("%w: it is neither a tar archive in gzip nor a zip archive", ErrArchive)
}

// A limited reader fails, rather than ends, past its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		if n, err := l.r.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, ErrTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

func (a Archive) tar(see func(header, io.Reader) error) error {
	z, err := gzip.NewReader(io.NewSectionReader(a, 0, a.Size))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	// Headers of no member, of which package tar reads any number, and what stands
	// behind the last one, count too.
	in := &limited{z, maxUnpacked + maxMembers<<12}
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(onlyZeros{}, in) // to the checksum of gzip
			return malformed(err)
		}
		if err != nil {
			return malformed(err)
		}
		e := header{name: h.Name, mode: h.Mode & 0o7777, mtime: h.ModTime.UTC(), owner: fmt.Sprintf("%d/%d", h.Uid, h.Gid), more: attributes(h.PAXRecords)}
		if h.Uname+h.Gname != "" {
			e.owner += fmt.Sprintf(" %s/%s", h.Uname, h.Gname)
		}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeDir:
			e.folder = true
		case tar.TypeSymlink, tar.TypeLink:
			if e.link = h.Linkname; e.link == "" {
				return fmt.Errorf("%w: %.200q is a link to nothing", ErrArchive, h.Name)
			}
		default:
			return fmt.Errorf("%w: %.200q is of type %q", ErrArchive, h.Name, h.Typeflag)
		}
		if err := see(e, t); err != nil {
			return err
		}
	}
}

// onlyZeros is what may stand behind the end of a tar archive. Some programs read
// on, and would find members in anything else.
type onlyZeros struct{}

func (onlyZeros) Write(p []byte) (int, error) {
	if i := slices.IndexFunc(p, func(b byte) bool { return b != 0 }); i >= 0 {
		return i, fmt.Errorf("%w: something stands behind its end", ErrArchive)
	}
	return len(p), nil
}

// attributes are the names of those that a member carries beside what every tar
// archive says, such as capabilities and lists of who may do what.
func attributes(records map[string]string) string {
	var more []string
	for name := range records {
		switch name {
		case "path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime", "atime", "ctime", "comment":
		default:
			more = append(more, name)
		}
	}
	slices.Sort(more)
	return strings.Join(more, " ")
}

func malformed(err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrArchive) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrArchive, err)
}

func (a Archive) zip(see func(header, io.Reader) error) error {
	in := &budget{a, maxDirectory}
	z, err := zip.NewReader(in, a.Size)
	if err != nil {
		return malformed(err)
	}
	in.left = 2*maxPacked + maxMembers<<12 // members may not lie in each other
	for _, f := range z.File {
		h := header{name: f.Name, folder: f.Mode().IsDir(), mode: int64(f.Mode().Perm()), mtime: f.Modified.UTC()}
		if f.Modified.Year() < 1980 { // where a zip archive's times begin
			h.mtime = time.Time{}
		}
		if special := f.Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky); special != 0 {
			h.more = special.String()
		}
		if !h.folder && !f.Mode().IsRegular() {
			return fmt.Errorf("%w: %.200q is of type %v", ErrArchive, f.Name, f.Mode().Type())
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("%w: %.200q: %w", ErrArchive, f.Name, err)
		}
		err = see(h, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// A budget is what may be read of an archive.
type budget struct {
	io.ReaderAt
	left int64 // bytes
}

func (b *budget) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, fmt.Errorf("%w: it has more to say of its members than is read", ErrTooLarge)
	}
	return b.ReaderAt.ReadAt(p, at)
}

// A member is a file in the folder of an archive.
type member struct {
	path    string // in the archive
	link    string
	size    int64
	sum     [sha256.Size]byte
	program string // its format, "" if it is none
	runs    bool
	grants  string // what it gives beyond reading, writing by its owner and running; "" as it should be
}

func (m member) same(other member) bool {
	return m.link == other.link && m.size == other.size && m.sum == other.sum
}

// A listing is what lies in an archive.
type listing struct {
	folder               string            // that holds all the rest
	members              map[string]member // by name below that
	folders              map[string]string // likewise, those that are there or that a name implies, with what each grants
	times, owners, modes string            // of all, folders among them, each once
	first                time.Time         // of times that are told; zero if none is
}

func (a Archive) list() (listing, error) {
	l := listing{members: map[string]member{}, folders: map[string]string{}}
	times, owners, modes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	seen := map[string]bool{}
	err := a.each(func(h header, r io.Reader) error {
		name := strings.TrimSuffix(strings.TrimPrefix(h.name, "./"), "/")
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") || seen[strings.ToLower(name)] {
			return fmt.Errorf("%w: %.200q is no name of a file, or there twice", ErrArchive, h.name)
		}
		seen[strings.ToLower(name)] = true
		folder, below, _ := strings.Cut(name, "/")
		if l.folder == "" {
			l.folder = folder
		}
		if folder != l.folder || below == "" && !h.folder {
			return fmt.Errorf("%w: %.200q does not lie in the folder %.200q", ErrArchive, h.name, l.folder)
		}
		if h.mtime.IsZero() {
			times["none"] = true
		} else {
			times[h.mtime.Format(time.RFC3339)] = true
			if l.first.IsZero() || h.mtime.Before(l.first) {
				l.first = h.mtime
			}
		}
		modes[fmt.Sprintf("%04o", h.mode)] = true
		if h.owner != "" {
			owners[h.owner] = true
		}
		if h.folder {
			l.folders[cmp.Or(below, ".")] = h.grants()
		}
		l.imply(path.Dir(below))
		if h.folder {
			return nil
		}
		head := &start{}
		sum := sha256.New()
		m := member{path: h.name, link: h.link, runs: h.mode&0o111 != 0 || path.Ext(name) == ".exe", grants: h.grants()}
		var err error
		if m.size, err = io.Copy(io.MultiWriter(sum, head), r); err != nil {
			return err
		}
		sum.Sum(m.sum[:0])
		if h.link == "" {
			m.program = head.format()
		}
		l.members[below] = m
		return nil
	})
	if err == nil && l.folder == "" {
		err = fmt.Errorf("%w: it is empty", ErrArchive)
	}
	for name := range l.members {
		if _, both := l.folders[name]; both && err == nil {
			err = fmt.Errorf("%w: %.200q is a file, and holds others", ErrArchive, name)
		}
	}
	l.times, l.owners, l.modes = joined(times), joined(owners), joined(modes)
	return l, err
}

// imply takes note of a folder, and those that it lies in.
func (l *listing) imply(folder string) {
	for ; folder != "." && folder != "/"; folder = path.Dir(folder) {
		if _, there := l.folders[folder]; !there {
			l.folders[folder] = ""
		}
	}
}

// grants is what an entry would give whoever has it unpacked that none of a
// release is to give: to write it to everybody, to run it as its owner, or what
// its attributes do.
func (h header) grants() string {
	var all []string
	if h.link == "" && h.mode&0o7002 != 0 {
		all = append(all, fmt.Sprintf("mode %04o", h.mode))
	}
	if h.more != "" {
		all = append(all, "attributes "+h.more)
	}
	return strings.Join(all, ", ")
}

func joined(set map[string]bool) string {
	all := slices.Sorted(maps.Keys(set))
	if n := len(all); n > 3 {
		return fmt.Sprintf("%s to %s, %d of them", all[0], all[n-1], n)
	}
	return strings.Join(all, ", ")
}

// start keeps the first bytes of a file.
type start struct{ bytes []byte }

func (s *start) Write(p []byte) (int, error) {
	s.bytes = append(s.bytes, p[:min(len(p), 4-len(s.bytes))]...)
	return len(p), nil
}

// format is that of a program.
func (s *start) format() string {
	switch head := string(s.bytes); {
	case head == "\x7fELF":
		return "ELF"
	case strings.HasPrefix(head, "MZ"):
		return "PE"
	case head == "\xcf\xfa\xed\xfe", head == "\xce\xfa\xed\xfe":
		return "Mach-O"
	}
	return ""
}

var errFound = errors.New("found")

// load reads a member.
func (a Archive) load(m member) ([]byte, error) {
	var data []byte
	err := a.each(func(h header, r io.Reader) (err error) {
		if h.name != m.path {
			return nil
		}
		if data, err = io.ReadAll(r); err != nil {
			return err
		}
		return errFound
	})
	if !errors.Is(err, errFound) {
		return nil, fmt.Errorf("%w: %.200q is gone, or cannot be read: %w", ErrArchive, m.path, err)
	}
	if sha256.Sum256(data) != m.sum {
		return nil, fmt.Errorf("%w: %.200q was changed while it was read", ErrArchive, m.path)
	}
	return data, nil
}
