// Package store guarantees that a step of the build is done once: what it
// left is kept under the digest of its inputs, complete or not at all, and
// every byte that is read back is checked against the digest recorded when it
// was made. It refuses what it did not write: an entry that lacks its record,
// a record that does not fit its place, a file that changed since.
//
// # Layout
//
//	<dir>/steps/<step>/<key>/result.json   what the step returned, and what it left
//	<dir>/steps/<step>/<key>/files/...     regular files, 0644 or 0755
//	<dir>/tmp/<pid>-<prefix>-<random>/     work in progress; its owner holds a flock on it
//	<dir>/locks/<name>.lock                empty files, for flock
//	<dir>/taken                            empty, and there if any result was made elsewhere
//
// result.json is one line of JSON without unknown fields:
//
//	{"key": "<step>/<key>", "value": ..., "files": [artifact.File, ...], "sum": "sha256:..."}
//
// where files are sorted by name and sum is the digest of key, value and files
// as they stand in it, each preceded by its length as eight bytes, big-endian.
// The sum finds accidents; whoever can write to the store can also write a sum.
package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrCorrupt is wrapped by every refusal of something in the store that is not
// what was put there. The message ends with what to remove.
var ErrCorrupt = errors.New("store is corrupt")

// A Store is a directory that holds what steps left. Its methods may be called
// concurrently, and several processes may use one directory.
type Store struct {
	// Waiting, if set before the first use, is told the name of a lock that
	// another process holds, once for each Lock that has to wait for it.
	Waiting func(name string)

	// Remote, if set before the first use, has what the steps left elsewhere that
	// are Shared.
	Remote Remote

	dir  string
	mu   sync.Mutex
	held map[string]*holder // by lock name: who in this process has it or waits for it
}

// Open makes dir with mode 0700 where it is missing, and removes what killed
// processes left in its tmp. A process that still runs keeps what is its own.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	s := &Store{dir: dir, held: map[string]*holder{}}
	for _, sub := range []string{"", "steps", "tmp", "locks"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("opening store %s: %w", dir, s.explain(err))
		}
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("opening store %s: removing what an interrupted run left: %w", dir, err)
	}
	return s, nil
}

// Dir is a path below the store, for what is not kept by key (a module cache,
// a compiler's cache). Its parents are made, the path itself is not; where
// they cannot be made, using the path says so. An element that leads out of
// the store is a mistake in the program and panics.
func (s *Store) Dir(elem ...string) string {
	rel := filepath.Join(elem...)
	if rel != "" && !filepath.IsLocal(rel) {
		panic(fmt.Sprintf("store: %q leads out of the store", rel))
	}
	path := filepath.Join(s.dir, rel)
	_ = os.MkdirAll(filepath.Dir(path), 0o700)
	return path
}

// explain adds to an error that says that the disk is full where it is full.
func (s *Store) explain(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("store %s is full: free space there or choose another cache directory: %w", s.dir, err)
	}
	return err
}

// A Key names the result of a step for given inputs. It is comparable.
type Key struct{ step, sum string }

// NewKey is the key of step for inputs. The step is a short name of lower-case
// letters, digits, '-', '_' and '.', beginning with a letter or digit; Do and
// Peek refuse another. The key is the SHA-256 of step and inputs, each
// preceded by its length, so that no two lists of inputs share one. Who changes
// what a step does, or the type of its value, changes its inputs too.
func NewKey(step string, inputs ...string) Key {
	sum := sumParts(append([]string{step}, inputs...)...)
	return Key{step, hex.EncodeToString(sum)}
}

// String is the step, a slash, and 64 hexadecimal digits.
func (k Key) String() string { return k.step + "/" + k.sum }

func (k Key) check() error {
	const plain = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	if k.step == "" || len(k.step) > 64 || strings.Trim(k.step, plain) != "" || strings.ContainsAny(k.step[:1], "-_.") {
		return fmt.Errorf("store key: step %q is not a short plain name", k.step)
	}
	return nil
}

func sumParts[S ~string | ~[]byte](parts ...S) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// removeAll is os.RemoveAll for trees that hold read-only directories, such as
// a module cache.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
