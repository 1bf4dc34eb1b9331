// Package webui guarantees that a web interface that is embedded in a
// component comes from named, verified bytes, and that the same inputs give
// the same bytes.
//
// Pnpm builds one from its source: packages that the lock file pins are
// verified by package npm, and everything that runs does so in package
// sandbox, without a network, on a root that holds Node, pnpm, the source and
// the shared libraries these name; which of the packages end up in it is what
// the bundler says, not what was installed. Elm does the same for one that is
// written in Elm, with Elm's compiler and packages of Elm beside those of npm, and
// tells from what the compiler wrote which of them are in it. Bundle takes one that
// an upstream release carries, and runs nothing. All say in an artifact.UI what
// they did.
//
// It refuses lock files that package npm refuses, packages of Elm other than those
// of elm.json, upstream build scripts other than those its recipe mirrors, bundles
// that hold anything but the files they are known for, a bundler or compiler that
// does not account for all it wrote, and content beyond its bounds.
package webui

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"

	"palisade/attestations/artifact"
)

// Assets is a built web interface: files to lay over the root of a component's
// module before that is sealed.
type Assets struct {
	Dir      string          // on this machine
	Files    []artifact.File // every file of Dir, named relative to it, sorted
	UI       artifact.UI
	Embedded []artifact.Embedded // packages of which something is in Files, as the bundler told; sorted by purl
}

// fileMode is that of every file of Assets.
const fileMode = 0o644

// writeFile writes the file called name below dir, with the directories above
// it, so that it is there whole or not at all.
func writeFile(dir, name string, write func(*os.File) error) (err error) {
	full := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(full), ".part-*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(fileMode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), full)
}

func writeBytes(dir, name string, data []byte) error {
	return writeFile(dir, name, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// writeGzip writes data as the file called name, compressed, with neither a
// name nor a time in its header. The compressor is pinned by go.mod, so its
// bytes do not depend on the Go that runs this.
func writeGzip(dir, name string, data []byte) error {
	return writeFile(dir, name, func(f *os.File) error {
		w, err := gzip.NewWriterLevel(f, gzip.BestCompression)
		if err != nil {
			return err
		}
		w.ModTime = time.Unix(0, 0) // "no time"; the zero Time would be written as a date (RFC 1952, 2.3.1)
		if _, err := w.Write(data); err != nil {
			return err
		}
		return w.Close()
	})
}

// emptyDir makes dir, and refuses one that holds anything.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	held, err := os.ReadDir(dir)
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("directory %s is to be filled, and is not empty", dir)
	}
	return err
}

// list describes every file of dir as it is on disk.
func list(dir string) ([]artifact.File, error) {
	var files []artifact.File
	err := walk(dir, func(name string) error {
		file, err := describe(filepath.Join(dir, filepath.FromSlash(name)), name)
		files = append(files, file)
		return err
	})
	return files, err
}

func describe(full, name string) (artifact.File, error) {
	info, err := os.Stat(full)
	if err != nil {
		return artifact.File{}, err
	}
	digest, size, err := artifact.DigestFile(full)
	return artifact.File{Name: name, Mode: fmt.Sprintf("%04o", info.Mode().Perm()), Size: size, Digest: digest}, err
}

// walk calls each with the slash-separated name of every file of dir, in order
// of the bytes of the names. Anything but files and directories is an error.
func walk(dir string, each func(name string) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var names []string
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither file nor directory", path.Join(dir, name))
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := each(name); err != nil {
			return err
		}
	}
	return nil
}
