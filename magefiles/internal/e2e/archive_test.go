//go:build e2e && unix

package e2e

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// The bounds of what an archive of ours can be.
const (
	maxMembers     = 1000
	maxMemberBytes = 1 << 30
)

// unpack puts rec's archive into a new directory, as tar does, and returns the
// folder that it held.
func (r *release) unpack(t *testing.T, rec artifact.Record) string {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = walk(filepath.Join(r.dir, rec.Name), func(name string, mode fs.FileMode, content io.Reader) error {
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		t.Fatalf("unpacking %s: %v", rec.Name, err)
	}
	folder := strings.TrimSuffix(rec.Name, ".tar.gz")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != folder {
		t.Fatalf("%s holds %v, not the one folder %s: %v", rec.Name, entries, folder, err)
	}
	return filepath.Join(dir, folder)
}

// members lists the regular files of an archive, in its order.
func members(archive string) ([]artifact.File, error) {
	var all []artifact.File
	err := walk(archive, func(name string, mode fs.FileMode, content io.Reader) error {
		digest, size, err := artifact.DigestReader(content)
		all = append(all, artifact.File{Name: name, Mode: fmt.Sprintf("%04o", mode), Size: size, Digest: digest})
		return err
	})
	return all, err
}

type visitor func(name string, mode fs.FileMode, content io.Reader) error

// walk visits the regular files of an archive. Anything else in it but
// directories is an error, as is a file that somebody else could change.
func walk(archive string, visit visitor) error {
	seen := 0
	checked := func(name string, mode fs.FileMode, content io.Reader) error {
		if seen++; seen > maxMembers {
			return fmt.Errorf("more than %d members", maxMembers)
		}
		if mode.IsDir() {
			return nil
		}
		if !mode.IsRegular() || mode&0o022 != 0 || !fs.ValidPath(name) {
			return fmt.Errorf("member %q has the mode %v", name, mode)
		}
		limited := &io.LimitedReader{R: content, N: maxMemberBytes}
		if err := visit(name, mode, limited); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
		if limited.N == 0 {
			return fmt.Errorf("member %q is larger than %d bytes", name, maxMemberBytes)
		}
		return nil
	}
	if strings.HasSuffix(archive, ".zip") {
		return walkZip(archive, checked)
	}
	return walkTarGz(archive, checked)
}

func walkTarGz(archive string, visit visitor) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := visit(h.Name, h.FileInfo().Mode(), tr); err != nil {
			return err
		}
	}
}

func walkZip(archive string, visit visitor) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		content, err := f.Open()
		if err != nil {
			return err
		}
		if err := errors.Join(visit(f.Name, f.Mode(), content), content.Close()); err != nil {
			return err
		}
	}
	return nil
}

// The index says of every artifact, of every platform, what is there.
func TestIndex(t *testing.T) {
	r := openRelease(t)
	if r.manifest.Distribution != r.distribution.Name {
		t.Errorf("release.json is of the distribution %q, not %q", r.manifest.Distribution, r.distribution.Name)
	}
	for _, rec := range r.manifest.Artifacts {
		t.Run(rec.Name, func(t *testing.T) {
			digest, size, err := artifact.DigestFile(filepath.Join(r.dir, rec.Name))
			if err != nil || digest != rec.Digest || size != rec.Size {
				t.Errorf("release.json says %s, %d bytes; the file is %s, %d bytes (%v)", rec.Digest, rec.Size, digest, size, err)
			}
			listed, err := members(filepath.Join(r.dir, rec.Name))
			if err != nil || !slices.Equal(listed, rec.Members) {
				t.Errorf("release.json says it holds\n%v, it holds\n%v (%v)", rec.Members, listed, err)
			}
			for _, b := range rec.Binaries {
				digest, size, err := artifact.DigestFile(r.looseBinary(rec, b.Name))
				if err != nil || digest != b.Digest || size != b.Size {
					t.Errorf("release.json says %s is %s; the loose one is %s (%v)", b.Name, b.Digest, digest, err)
				}
				packed := func(m artifact.File) bool {
					return path.Base(m.Name) == b.Name && m.Digest == b.Digest && m.Mode == "0755"
				}
				if !slices.ContainsFunc(listed, packed) {
					t.Errorf("the archive does not hold %s as %s, executable", b.Name, b.Digest)
				}
			}
		})
	}
}

// SHA256SUMS is what sha256sum prints of the archives, the images and the
// documents beside them: all of them, and nothing else.
func TestSums(t *testing.T) {
	r := openRelease(t)
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".spdx.json")
		if !strings.HasSuffix(name, ".tar.gz") && !strings.HasSuffix(name, ".zip") && !strings.HasSuffix(name, artifact.ImageSuffix) {
			continue
		}
		digest, _, err := artifact.DigestFile(filepath.Join(r.dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%s  %s\n", digest.Hex(), e.Name())
	}
	got, err := os.ReadFile(filepath.Join(r.dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("SHA256SUMS is\n%s, sha256sum says\n%s", got, want.String())
	}
}
