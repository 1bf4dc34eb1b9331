package verify

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"palisade/attestations/unpack"
)

// zipped reads a zip archive. A zip file says everything twice, at its end and
// before each member, and some programs believe the one, some the other: both
// must say the same, and nothing may lie between the members.
func (u *unpacker) zipped(r io.ReaderAt, size int64) error {
	directory, err := zipDirectory(r, size)
	if err != nil {
		return err
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	var packed *bufio.Reader // of the member that is read; flate reads a ByteReader no further than its end
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser {
		packed = bufio.NewReaderSize(r, 1<<16)
		return flate.NewReader(packed)
	})
	var wall unpack.Wall
	at, listed := int64(0), int64(0)
	for _, f := range z.File {
		if at, err = zipLocal(r, f, at); err != nil {
			return err
		}
		listed += 46 + int64(len(f.Name)) + int64(len(f.Extra))
		e, err := zipEntry(f)
		if err == nil {
			err = wall.Enter(e)
		}
		if err == nil {
			err = u.enter(e)
		}
		if err != nil {
			return err
		}
		if e.Folder {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return fmt.Errorf("%w: %.200q: %w", ErrArchive, f.Name, err)
		}
		err = u.read(content)
		content.Close()
		if err == nil && f.Method == zip.Deflate && unpack.AtEnd(packed) != nil {
			err = fmt.Errorf("%w: something follows the compressed data of %.200q", ErrArchive, f.Name)
		}
		if err != nil {
			return err
		}
	}
	if at != directory || directory+listed+zipEnd != size {
		return fmt.Errorf("%w: something lies between its members and its directory, or behind that", ErrArchive)
	}
	return u.finish()
}

func zipEntry(f *zip.File) (unpack.Entry, error) {
	e := unpack.Entry{Name: f.Name, Mode: int64(f.Mode().Perm()), Size: int64(min(f.UncompressedSize64, 1<<62))}
	switch mode := f.Mode(); {
	case mode == fs.ModeDir|mode.Perm() && strings.HasSuffix(f.Name, "/"):
		e.Folder, e.Name = true, strings.TrimSuffix(f.Name, "/")
	case !unpack.SafeName(f.Name):
		return e, fmt.Errorf("%w: %.200q", ErrMemberName, f.Name)
	case !mode.IsRegular() || mode != mode.Perm():
		return e, fmt.Errorf("%w: %.200q has mode %v", ErrMemberType, f.Name, mode)
	}
	if f.Method != zip.Store && f.Method != zip.Deflate || f.Flags&^0x808 != 0 || f.Comment != "" {
		return e, fmt.Errorf("%w: %.200q is encrypted, compressed in another way, or has a comment", ErrArchive, f.Name)
	}
	if (e.Folder || f.Method == zip.Store) && f.CompressedSize64 != f.UncompressedSize64 {
		return e, fmt.Errorf("%w: %.200q holds %d bytes as %d", ErrArchive, f.Name, f.UncompressedSize64, f.CompressedSize64)
	}
	// Another field may give the member another name, or owner.
	if len(f.Extra) > 0 && (len(f.Extra) != 9 || string(f.Extra[:5]) != "UT\x05\x00\x01") {
		return e, fmt.Errorf("%w: of %.200q it says more than the time", ErrArchive, f.Name)
	}
	return e, nil
}

const (
	maxMembers = unpack.MaxMembers
	zipEnd     = 22 // length of the end of an archive without a comment
)

// zipDirectory is where the directory begins, of an archive without a comment
// and of less than 4 GiB.
func zipDirectory(r io.ReaderAt, size int64) (int64, error) {
	var end [zipEnd]byte
	if size < int64(len(end)) {
		return 0, fmt.Errorf("%w: no zip file", ErrArchive)
	}
	if _, err := r.ReadAt(end[:], size-int64(len(end))); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	length, begin := int64(binary.LittleEndian.Uint32(end[12:])), int64(binary.LittleEndian.Uint32(end[16:]))
	if string(end[:4]) != "PK\x05\x06" || begin+length != size-int64(len(end)) {
		return 0, fmt.Errorf("%w: its directory is not at its end", ErrArchive)
	}
	// Before the directory is read, whose length nothing else bounds. Of 65535
	// members or bytes another directory is looked for, that of zip64.
	if members := binary.LittleEndian.Uint16(end[10:]); members > maxMembers || length > maxMembers<<10 || length == 0xffff {
		return 0, fmt.Errorf("%w: a directory of %d members and %d bytes", ErrTooLarge, members, length)
	}
	return begin, nil
}

// zipLocal holds what stands before a member at that offset against what the
// directory says of it, and returns the offset behind it.
func zipLocal(r io.ReaderAt, f *zip.File, at int64) (int64, error) {
	var head [30]byte
	if _, err := r.ReadAt(head[:], at); err != nil {
		return 0, fmt.Errorf("%w: %.200q: %w", ErrArchive, f.Name, err)
	}
	length := int(binary.LittleEndian.Uint16(head[26:]))
	name := make([]byte, length+int(binary.LittleEndian.Uint16(head[28:]))) // and the extra field
	if _, err := r.ReadAt(name, at+int64(len(head))); err != nil {
		return 0, fmt.Errorf("%w: %.200q: %w", ErrArchive, f.Name, err)
	}
	begin := at + int64(len(head)) + int64(len(name))
	end := begin + int64(min(f.CompressedSize64, 1<<40))
	// Checksum and sizes stand before the member, or behind it and zeros before.
	sums := binary.LittleEndian.AppendUint32(nil, f.CRC32)
	for _, n := range []uint64{f.CompressedSize64, f.UncompressedSize64} {
		sums = binary.LittleEndian.AppendUint32(sums, uint32(n)) // of 4 GiB and more, no member is read
	}
	before, behind := sums, ""
	if f.Flags&0x8 != 0 {
		before, behind = make([]byte, len(sums)), "PK\x07\x08"+string(sums)
	}
	said := make([]byte, len(behind))
	if _, err := r.ReadAt(said, end); err != nil {
		return 0, fmt.Errorf("%w: %.200q: %w", ErrArchive, f.Name, err)
	}
	offset, err := f.DataOffset()
	if err != nil || string(head[:4]) != "PK\x03\x04" || string(name) != f.Name+string(f.Extra) || length != len(f.Name) || offset != begin ||
		binary.LittleEndian.Uint16(head[6:]) != f.Flags || binary.LittleEndian.Uint16(head[8:]) != f.Method ||
		string(head[14:26]) != string(before) || string(said) != behind {
		return 0, fmt.Errorf("%w: what stands before %.200q, or behind it, is not what the directory says", ErrArchive, f.Name)
	}
	return end + int64(len(behind)), nil
}
