package source

import (
	"context"
	"os"
	"path/filepath"

	"palisade/magefiles/internal/gitsource"
	"palisade/magefiles/internal/modules"
	"palisade/recipes"
)

// FetchCommit is Fetch for a recipe whose upstream module c was given, made of a
// commit: more than the module holds lies there, of which a web interface may be
// built.
func FetchCommit(ctx context.Context, c *modules.Client, r *recipes.Recipe, commit gitsource.Tree) (Tree, error) {
	t, err := Fetch(ctx, c, r)
	t.commit = &commit
	return t, err
}

// Commit is what upstream's module was made of, nil if it was fetched as one.
func (t Tree) Commit() *gitsource.Tree { return t.commit }

// whole is a folder with the patched source that a web interface is built of: dir,
// or where upstream's module was made of a commit, all files of that with the same
// patches, until remove is called.
func (w *Workshop) whole(ctx context.Context, t Tree, c change, dir string) (folder string, remove func(), err error) {
	if t.commit == nil {
		return dir, func() {}, nil
	}
	if err := t.commit.Verify(ctx); err != nil {
		return "", nil, err
	}
	tmp, remove, err := w.Store.Temp("whole")
	if err != nil {
		return "", nil, err
	}
	folder = filepath.Join(tmp, "tree")
	if err = os.CopyFS(folder, os.DirFS(t.commit.Dir)); err == nil {
		err = apply(folder, c.series)
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return folder, remove, nil
}
