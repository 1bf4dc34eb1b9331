package reproduce

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"palisade/attestations/bundle"
	"palisade/attestations/rebuild"
	"palisade/magefiles/internal/store"
)

// Keep writes the bundle of what was attested into its folder below dir, under
// the name that whoever signed it has there, in place of what he signed before;
// and returns where. Others' are left alone. Where there are as many as are read
// it is refused.
func Keep(dir string, a Attested, by bundle.Signer, data []byte) (string, error) {
	name, err := rebuild.BundleName(by)
	if err != nil {
		return "", err
	}
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("writing who rebuilt %s to %s: %w", a.Target, dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	if err := root.Mkdir(a.Folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	if info, err := root.Lstat(a.Folder); err != nil || !info.IsDir() {
		return fail(fmt.Errorf("%s is not a folder: remove it", a.Folder))
	}
	entries, err := fs.ReadDir(root.FS(), a.Folder)
	if err != nil {
		return fail(err)
	}
	others := 0
	for _, e := range entries {
		if e.Name() != name && rebuild.IsBundleName(e.Name()) {
			others++
		}
	}
	if others >= rebuild.MaxBundles {
		return fail(fmt.Errorf("%s holds %d bundles, and no more are read: remove those of whom nobody believes", a.Folder, others))
	}
	file := filepath.Join(dir, a.Folder, name)
	return file, store.WriteFile(file, 0o644, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
