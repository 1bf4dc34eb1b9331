package stories

import (
	"archive/zip"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
)

// whole is an error if dist or the cache hold anything half-made. What a
// killed run left under a temporary name is allowed unless tidy is set.
func whole(ts *testscript.TestScript, tidy bool) error {
	return errors.Join(wholeDist(distOf(ts), tidy), wholeCache(ts.Getenv("PALISADE_CACHE"), tidy))
}

func wholeDist(dir string, tidy bool) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			if tidy {
				return fmt.Errorf("%s was left behind", path)
			}
			return nil
		}
		if strings.HasSuffix(path, ".tar.gz") {
			return wholeGzip(path)
		}
		if strings.HasSuffix(path, ".zip") {
			return wholeZip(path)
		}
		if strings.HasSuffix(path, dist.DocumentSuffix) {
			return wholeDocument(path)
		}
		if strings.HasSuffix(path, dist.Bundle("")) {
			return wholeBundle(path)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.Open(filepath.Join(dir, "release.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	m, err := artifact.ParseManifest(f)
	if err != nil {
		return err
	}
	for _, r := range m.Artifacts {
		files := append([]artifact.File{{Name: r.Name, Digest: r.Digest}}, r.Documents...)
		for _, b := range r.Binaries {
			files = append(files, artifact.File{Name: path.Join(dist.BinDir(r), b.Name), Digest: b.Digest})
		}
		for _, f := range files {
			if digest, _, err := artifact.DigestFile(filepath.Join(dir, filepath.FromSlash(f.Name))); err != nil || digest != f.Digest {
				return fmt.Errorf("release.json names %s, which is %v, %v", f.Name, digest, err)
			}
		}
		if err := wholeProvenance(filepath.Join(dir, dist.Provenance(r)), r); err != nil {
			return err
		}
		if len(r.Documents) != 1+len(r.Binaries) {
			return fmt.Errorf("%s and its %d binaries have %d documents", r.Name, len(r.Binaries), len(r.Documents))
		}
	}
	for _, i := range m.Images {
		if err := wholeImage(dir, i, m.Artifacts); err != nil {
			return err
		}
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("SHA256SUMS: %w\n%s", err, out)
	}
	return nil
}

func wholeGzip(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func wholeDocument(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := spdx.Parse(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// wholeProvenance reads the provenance of an artifact, which has to be of its
// record.
func wholeProvenance(path string, r artifact.Record) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s, err := intoto.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p, err := provenance.Parse(s)
	if err == nil {
		err = p.Check(r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// wholeBundle reads a bundle. Whether it is true is for "palisade verify".
func wholeBundle(path string) error {
	data, err := os.ReadFile(path)
	if err == nil && (!json.Valid(data) || data[len(data)-1] != '\n') {
		err = fmt.Errorf("%s is no bundle", path)
	}
	return err
}

func wholeZip(path string) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer z.Close()
	for _, member := range z.File {
		r, err := member.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// wholeCache reads every step that was kept, with all its files.
func wholeCache(dir string, tidy bool) error {
	places, err := filepath.Glob(filepath.Join(dir, "steps", "*", "*"))
	if err != nil {
		return err
	}
	for _, place := range places {
		data, err := os.ReadFile(filepath.Join(place, "result.json"))
		if err != nil {
			return err
		}
		var kept struct{ Files []artifact.File }
		if err := json.Unmarshal(data, &kept); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		if err := (store.Entry{Dir: filepath.Join(place, "files"), Files: kept.Files}).Verify(context.Background()); err != nil {
			return err
		}
	}
	if !tidy {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("temporary directories were left behind: %q", left)
	}
	return err
}
