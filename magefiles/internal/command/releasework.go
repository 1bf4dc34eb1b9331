package command

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/store"
)

// done reports whether the step was made already, of the same, and says so. Where
// digests are told, each step has a machine of its own: what lies there by the name of
// this one's work may have come with what was fetched, and is made again.
func (s *step) done(ctx context.Context, h handover.Header) (bool, error) {
	if s.digests != nil {
		return false, nil
	}
	digest, ok := handover.Done(ctx, s.file(), h)
	if !ok {
		return false, nil
	}
	fmt.Fprintf(os.Stderr, "release:%s is done already, of the same plan: remove %s to have it done again\n", s, s.file())
	return true, s.say(digest)
}

// work is the folder in which the step goes on where a former run of it, of the
// same plan, has stopped. Nobody else works there until it is given back.
func (s *step) work(ctx context.Context) (work *os.Root, leave func(), err error) {
	fail := func(err error) (*os.Root, func(), error) {
		return nil, nil, fmt.Errorf("preparing release:%s in %s: %w", s, s.config.Release, err)
	}
	dir := filepath.Join(s.config.Release, "work", strings.TrimSuffix(handover.Name(s.name, s.shard), ".tar"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	unlock, err := store.LockFolder(ctx, dir)
	if err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = s.begin(root)
	}
	if err != nil {
		unlock()
		return fail(err)
	}
	return root, func() { root.Close(); unlock() }, nil
}

// begun is the file that names the plan that a folder of work is of.
const begun = ".plan"

// begin empties a folder in which something else was made, or nobody knows what.
func (s *step) begin(work *os.Root) error {
	if said, err := work.ReadFile(begun); s.digests == nil && err == nil && string(said) == s.digest.String() {
		return nil
	}
	entries, err := fs.ReadDir(work.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := work.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return store.WriteFile(filepath.Join(work.Name(), begun), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, s.digest.String())
		return err
	})
}
