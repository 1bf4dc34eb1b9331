package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/releases"
	"palisade/attestations/unpack"
)

// Names of what a release has once.
const (
	indexName = "release.json"
	sumsName  = "SHA256SUMS"
	binFolder = "bin"

	bundleSuffix     = ".sigstore.json"
	spdxSuffix       = ".spdx.json"
	provenanceSuffix = ".provenance.json"
	resultSuffix     = ".test-result.json"
	vexSuffix        = ".vex.json"
)

// optional may lie in a release. The notes are held against their signature, and the
// key against the policy; whose certificates to believe is for others, and not read.
var optional = []string{releases.NotesName, releases.NotesName + bundleSuffix, keyName, "trusted_root.json"}

// Bounds of what is read whole, in bytes, and of how many files there are.
const (
	maxStatement = 64 << 20 // and a bundle
	maxKey       = 64 << 10
	maxFiles     = 20_000
	maxArtifact  = 4 << 30
)

// bundleOf is the name of the bundle that an attestation is in.
func bundleOf(document string) string { return strings.TrimSuffix(document, ".json") + bundleSuffix }

// binDir is where the loose binaries of r lie.
func binDir(r artifact.Record) string { return path.Join(binFolder, r.Platform.Slug(), r.Variant) }

// named refuses a record that is not called what it is: by its name a person
// knows the component, the version, the platform and the variant. Its documents
// have to be where their digests are looked at.
func named(r artifact.Record, distribution string) error {
	version, _ := strings.CutPrefix(r.Version, r.UpstreamVersion+"-")
	ours := version == r.Variant
	if r.Variant == "hardened" {
		ours = strings.HasPrefix(version, distribution+".")
	}
	if !ours {
		return fmt.Errorf("version %.60q is none of %.60q, variant %.40q, of %.60q", r.Version, r.UpstreamVersion, r.Variant, distribution)
	}
	if name := r.Component + "-" + r.Version + "." + r.Platform.Slug(); r.Name != name+".tar.gz" && r.Name != name+".zip" {
		return fmt.Errorf("it is %.300q", name)
	}
	for _, f := range r.Documents {
		if f.Name != r.Name+spdxSuffix && (path.Dir(f.Name) != binDir(r) || !strings.HasSuffix(f.Name, spdxSuffix)) {
			return fmt.Errorf("%.300q is no document of it", f.Name)
		}
	}
	return nil
}

// A directory is a release on disk. What is in it is opened below it alone.
type directory struct{ root *os.Root }

// open opens a regular file, of which the size is given. A symbolic link is
// none, wherever it leads, and no folder either.
func (d directory) open(name string) (*os.File, int64, error) {
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		if info, err := d.root.Lstat(folder); err == nil && !info.IsDir() {
			return nil, 0, fmt.Errorf("%w: %s is no folder", ErrNotFile, folder)
		}
	}
	// Looked at before it is opened, for opening a pipe waits for its writer.
	before, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, missing(name)
	}
	if err != nil {
		return nil, 0, err
	}
	if !before.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s", ErrNotFile, name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%w: %s was replaced while it was read", ErrNotFile, name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func missing(name string) error {
	hint := "take the release anew, or build it again"
	if strings.HasSuffix(name, bundleSuffix) {
		hint = "sign the release, or take it anew"
	}
	return fmt.Errorf("%w: %s: %s", ErrMissing, name, hint)
}

// read reads a file of at most max bytes.
func (d directory) read(name string, max int64) ([]byte, error) {
	f, size, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > max {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrTooLarge, name, size)
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(data)) > max {
		err = fmt.Errorf("%w: %s grew while it was read", ErrTooLarge, name)
	}
	return data, err
}

// digest hashes a file.
func (d directory) digest(ctx context.Context, name string) (artifact.Digest, int64, error) {
	f, size, err := d.open(name)
	if err != nil {
		return artifact.Digest{}, 0, err
	}
	defer f.Close()
	return digestOfFile(ctx, f, name, size)
}

// digestOfFile hashes what f holds from where it stands.
func digestOfFile(ctx context.Context, f io.Reader, name string, size int64) (artifact.Digest, int64, error) {
	if size > maxArtifact {
		return artifact.Digest{}, 0, fmt.Errorf("%w: %s has %d bytes", ErrTooLarge, name, size)
	}
	return artifact.DigestReader(io.LimitReader(unpack.Cancellable(ctx, f), maxArtifact+1))
}

func (d directory) has(name string) bool {
	_, err := d.root.Lstat(name)
	return err == nil
}

// listing says which files a release of these artifacts has: true for those
// that it must have.
func listing(records []artifact.Record, loose bool, required func(suffix string) bool) map[string]bool {
	all := map[string]bool{indexName: true, indexName + bundleSuffix: true, sumsName: true}
	for _, name := range optional {
		all[name] = false
	}
	for _, r := range records {
		all[r.Name], all[r.Name+bundleSuffix] = true, true
		for _, suffix := range []string{spdxSuffix, provenanceSuffix, resultSuffix, vexSuffix} {
			document := r.Name + suffix
			all[document] = all[document] || required(suffix)
			all[bundleOf(document)] = all[document]
		}
		for _, f := range r.Documents {
			if inBin := strings.HasPrefix(f.Name, binFolder+"/"); !inBin || loose {
				all[f.Name] = true
			}
		}
		if loose {
			for _, b := range r.Binaries {
				all[path.Join(binDir(r), b.Name)] = true
			}
		}
	}
	return all
}

// compare holds what is there against a listing.
func (d directory) compare(want map[string]bool) error {
	var refusals []error
	count := 0
	err := fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if count++; count > maxFiles {
			return fmt.Errorf("%w: more than %d files", ErrTooLarge, maxFiles)
		}
		if e.IsDir() {
			return nil // an empty one is nothing
		}
		if _, listed := want[name]; !listed {
			refusals = append(refusals, fmt.Errorf("%w: %.300q: remove it and build again, or take the release anew", ErrUnlisted, name))
		} else if !e.Type().IsRegular() {
			refusals = append(refusals, fmt.Errorf("%w: %.300q", ErrNotFile, name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, must := range want {
		if must && !d.has(name) {
			refusals = append(refusals, missing(name))
		}
	}
	slices.SortFunc(refusals, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(refusals...)
}

// checkSums holds SHA256SUMS against the digests that are known: it names
// every artifact, and nothing with another digest.
func checkSums(data []byte, known map[string]artifact.Digest, names []string) error {
	seen := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		d, has := known[name]
		switch {
		case !ok || seen[name]:
			return fmt.Errorf("%w: line %.200q is malformed, or there twice", ErrSums, lines.Text())
		case !has:
			return fmt.Errorf("%w: it names %.200q", ErrSums, name)
		case d.Hex() != sum:
			return fmt.Errorf("%w: %s", ErrSums, name)
		}
		seen[name] = true
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrSums, err)
	}
	for _, name := range names {
		if !seen[name] {
			return fmt.Errorf("%w: it does not name %s", ErrSums, name)
		}
	}
	return nil
}
