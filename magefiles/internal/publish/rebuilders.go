package publish

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/rebuild"
)

// How large the bundles of rebuilders may be, in bytes. They have some ten thousand.
const (
	maxRebuild  = 8 << 20  // one, as package verify reads it
	maxRebuilds = 64 << 20 // those in one folder, together
)

// ErrRebuild is wrapped where a folder of rebuilders holds anything but their
// attestations of that very image.
var ErrRebuild = errors.New("it is no attestation of a rebuild of this image")

func misplaced(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+": remove it, or have it made anew", append([]any{ErrRebuild}, args...)...)
}

// A rebuilt is the bundle of a rebuilder: well-formed, in its one form, and by who
// it is called after, or so it says.
type rebuilt struct {
	file  string
	data  []byte
	by    bundle.Signer
	known bool // he is named, and did sign it
	says  rebuild.Rebuild
}

// rebuilds reads the folder of those who built something again. There need be
// none, and nothing else may be in it.
func (o Options) rebuilds(root *os.Root, folder string) (all []rebuilt, err error) {
	names, err := bundleNames(root, folder)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	left := int64(maxRebuilds)
	for _, name := range names {
		file := path.Join(folder, name)
		data, err := readSmall(root, file, min(left, maxRebuild), misplaced)
		left -= int64(len(data))
		var one rebuilt
		if err == nil {
			one, err = o.rebuilt(file, data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// bundleNames are what is in that folder, sorted.
func bundleNames(root *os.Root, folder string) ([]string, error) {
	info, err := root.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.IsDir() {
		err = misplaced("it is no folder")
	}
	if err != nil {
		return nil, err
	}
	f, err := root.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(rebuild.MaxBundles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > rebuild.MaxBundles {
		return nil, misplaced("there are more than %d files, and no more are read", rebuild.MaxBundles)
	}
	var names []string
	for _, e := range entries {
		if !e.Type().IsRegular() || !rebuild.IsBundleName(e.Name()) {
			return nil, misplaced("%.300q is no file, or not called as the bundle of a rebuilder", e.Name())
		}
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// rebuilt reads the bundle in that file. What it is about is looked at elsewhere.
func (o Options) rebuilt(file string, data []byte) (rebuilt, error) {
	one := rebuilt{file: file, data: data}
	var err error
	if one.by, err = bundle.Claimed(data); err != nil {
		return one, misplaced("%w", err)
	}
	called, err := rebuild.BundleName(one.by)
	if err != nil {
		return one, misplaced("%w", err)
	}
	if called != path.Base(file) {
		return one, misplaced("it says that it is signed by %s, whose is called %s", one.by, called)
	}
	for _, named := range []bundle.Trust{o.Rebuilders, o.Trust} {
		did, err := signedBy(data, named)
		if err != nil {
			return one, misplaced("%w", err)
		}
		one.known = one.known || did
	}
	statement, err := statementIn(data)
	if err == nil {
		one.says, err = rebuild.Parse(statement)
	}
	if err != nil {
		return one, misplaced("%w", err)
	}
	return one, nil
}

// signedBy reports whether one of those who are named signed a bundle. What says
// that one of them did, and does not show it, is an error.
func signedBy(data []byte, named bundle.Trust) (bool, error) {
	if len(named.Keys)+len(named.Identities) == 0 {
		return false, nil
	}
	_, err := bundle.OpenAttestation(data, named)
	for _, another := range []error{bundle.ErrWrongKey, bundle.ErrWrongIssuer, bundle.ErrWrongSubject, bundle.ErrWrongRepository} {
		if errors.Is(err, another) {
			return false, nil
		}
	}
	return err == nil, err
}

// kind is what people are told that it is.
func (r rebuilt) kind() string {
	if r.known {
		return "rebuild by " + r.by.String()
	}
	return "rebuild by " + r.by.String() + " (who is not named here, so nothing confirms it)"
}

// attachRebuilt attaches what is attested of s, which carries these statements of
// provenance: of one of them each has to be.
func (s *subject) attachRebuilt(all []rebuilt, provenances [][]byte, epoch int64) error {
	for _, one := range all {
		if err := one.says.CheckCarried(provenances...); err != nil {
			return fmt.Errorf("%s: %w", one.file, misplaced("%w", err))
		}
		a, err := attach(s.document, one.data, rebuild.PredicateType, epoch)
		if err != nil {
			return fmt.Errorf("%s: %w", one.file, err)
		}
		a.kind = one.kind()
		s.attached = append(s.attached, a)
	}
	return nil
}

// whole refuses what is not about an image as its release has it, file and all.
func (r rebuilt) whole(subjects []intoto.Subject) error {
	same := slices.EqualFunc(r.says.Subject, subjects, func(a, b intoto.Subject) bool {
		return a.Name == b.Name && a.Digest["sha256"] == b.Digest["sha256"]
	})
	if !same {
		return fmt.Errorf("%s: %w", r.file, misplaced("it is about %.100q and %d more", r.says.Subject[0].Name, len(r.says.Subject)-1))
	}
	return nil
}
