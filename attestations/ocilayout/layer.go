package ocilayout

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"palisade/attestations/unpack"
)

// layer reads a layer, once.
func (r *reader) layer(what string, d Descriptor) (Layer, error) {
	if known, ok := r.layers[d.Digest]; ok {
		if known.Descriptor != d {
			return Layer{}, fmt.Errorf("%w: the %s %s has %d bytes, not %d", ErrDigest, what, d.Digest, known.Size, d.Size)
		}
		return known, nil
	}
	b, err := r.blob(what, d, maxLayer)
	if err != nil {
		return Layer{}, err
	}
	defer b.Close()
	layer := Layer{Descriptor: d}
	unpacked := sha256.New()
	err = unpack.Gzip(b, func(in io.Reader) error {
		return unpack.Tar(io.TeeReader(in, unpacked), func(e unpack.Entry, content io.Reader) error {
			m, err := r.member(e, content)
			layer.Members = append(layer.Members, m)
			return err
		})
	})
	if err := b.check(err); err != nil {
		return Layer{}, fmt.Errorf("%s: %w", what, err)
	}
	layer.DiffID = digestOf(unpacked)
	r.layers[d.Digest] = layer
	return layer, nil
}

// folderModes are the modes that a folder may have: everybody's, its owner's, and
// /tmp's.
var folderModes = []int64{0o755, 0o700, 0o1777}

// member reads a member that has passed the wall of its archive.
func (r *reader) member(e unpack.Entry, content io.Reader) (Member, error) {
	m := Member{Name: e.Name, Folder: e.Folder, Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size}
	// Also of a folder: what lies in one called so is passed over by some.
	if strings.Contains("/"+e.Name, "/.wh.") {
		return m, fmt.Errorf("%w: %.200q", ErrWhiteout, e.Name)
	}
	if e.UID < 0 || e.GID < 0 || e.Folder && !slices.Contains(folderModes, e.Mode) {
		return m, fmt.Errorf("%w: %.200q has the mode %04o and the owner %d:%d", unpack.ErrType, e.Name, e.Mode, e.UID, e.GID)
	}
	if !e.Folder {
		if err := unpack.FileMode(e); err != nil {
			return m, err
		}
	}
	if r.total += e.Size; r.total > maxUnpacked {
		return m, fmt.Errorf("%w: layers of more than %d bytes", unpack.ErrTooLarge, int64(maxUnpacked))
	}
	if r.members++; r.members > maxMembers {
		return m, fmt.Errorf("%w: layers of more than %d files and folders", unpack.ErrTooLarge, maxMembers)
	}
	if e.Folder {
		return m, nil
	}
	h := sha256.New()
	if r.visitor.Keep == nil || !r.visitor.Keep(m) {
		_, err := io.Copy(h, content)
		m.Digest = digestOf(h)
		return m, cut(m.Name, err)
	}
	data := make([]byte, e.Size) // bounded by the wall
	if _, err := io.ReadFull(content, data); err != nil {
		return m, cut(m.Name, err)
	}
	h.Write(data)
	m.Digest = digestOf(h)
	return m, r.visitor.See(m, data)
}

// cut is the error of a member whose content does not come to its end.
func cut(name string, err error) error {
	if err == nil || errors.Is(err, unpack.ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: reading %.200q: %w", unpack.ErrArchive, name, err)
}

// stacked refuses a file that is in two layers, or stands where another has a
// folder, listed or not, or lies below a file; and a folder that two layers do
// not agree about.
func stacked(layers []Layer) error {
	seen := map[string]Member{}  // in lower case, as one layer's are compared
	above := map[string]string{} // of each folder something in it, whoever lists the folder
	for n, l := range layers {
		for _, m := range l.Members {
			name := strings.ToLower(m.Name)
			before, there := seen[name]
			if there && (!m.Folder || before != m) {
				return fmt.Errorf("%w: %.200q of layer %d is in a lower layer too", unpack.ErrDuplicate, m.Name, n+1)
			}
			if in := above[name]; in != "" && !m.Folder {
				return fmt.Errorf("%w: the file %.200q of layer %d stands where %.200q has a folder", unpack.ErrDuplicate, m.Name, n+1, in)
			}
			seen[name] = m
			for dir := path.Dir(name); dir != "." && above[dir] == ""; dir = path.Dir(dir) {
				if file, there := seen[dir]; there && !file.Folder {
					return fmt.Errorf("%w: %.200q lies below the file %.200q", unpack.ErrDuplicate, m.Name, file.Name)
				}
				above[dir] = m.Name
			}
		}
	}
	return nil
}
