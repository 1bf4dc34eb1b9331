package verify

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"path"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// An unpacker takes the entries of an archive, one after another, and holds
// each against the members that are expected, in their order. Nothing is
// written anywhere.
type unpacker struct {
	want    []artifact.File
	keep    func(artifact.File) bool // whether see is to get the content of that member
	see     func(f artifact.File, content []byte) error
	next    int
	folders map[string]bool // that the expected members are in
}

func newUnpacker(want []artifact.File, keep func(artifact.File) bool, see func(artifact.File, []byte) error) *unpacker {
	u := &unpacker{want: want, keep: keep, see: see, folders: map[string]bool{}}
	for _, f := range want {
		for dir := path.Dir(f.Name); dir != "." && dir != "/"; dir = path.Dir(dir) {
			u.folders[dir] = true
		}
	}
	return u
}

// enter judges an entry that has passed a wall, before anything of its content
// is read.
func (u *unpacker) enter(e unpack.Entry) error {
	if e.UID != 0 || e.GID != 0 {
		return fmt.Errorf("%w: %.200q has the owner %d:%d", ErrMemberType, e.Name, e.UID, e.GID)
	}
	if e.Folder {
		if !u.folders[e.Name] || e.Size != 0 || e.Mode != 0o755 {
			return fmt.Errorf("%w: folder %.200q holds none of its files, or has mode %o", ErrMember, e.Name, e.Mode)
		}
		return nil
	}
	if u.next == len(u.want) || u.want[u.next].Name != e.Name {
		return fmt.Errorf("%w: %.200q is not listed there, or out of order", ErrMember, e.Name)
	}
	if f := u.want[u.next]; f.Size != e.Size || f.Mode != fmt.Sprintf("%04o", e.Mode) {
		return fmt.Errorf("%w: %.200q has %d bytes and mode %04o, not %d and %s", ErrMember, e.Name, e.Size, e.Mode, f.Size, f.Mode)
	}
	return unpack.FileMode(e)
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
		err = unpack.AtEnd(r)
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

// tarGz reads a gzip-compressed tar archive to its last byte.
func (u *unpacker) tarGz(r io.Reader) error {
	err := unpack.TarGz(r, func(e unpack.Entry, content io.Reader) error {
		if err := u.enter(e); err != nil || e.Folder {
			return err
		}
		return u.read(content)
	})
	if err != nil {
		return err
	}
	return u.finish()
}
