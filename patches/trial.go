package patches

import (
	"errors"
	"os"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// A Trial says of one patch whether it would apply.
type Trial struct {
	Patch  Patch
	Errors []*ApplyError // where it does not: of each file the first place, in the patch's order
}

// Try tries each patch of s against the tree below root, and writes nothing. A
// patch is tried upon the result of those before it that apply: one that does
// not leaves no trace, so that a later one may fail for the lack of it alone.
func Try(root *os.Root, s Series) []Trial {
	t := tree{root: root, files: make(map[string]*file)}
	var all []Trial
	for _, p := range s.Patches {
		all = append(all, Trial{Patch: p, Errors: t.try(p)})
	}
	return all
}

// try applies p to what is in memory, or leaves that as it was.
func (t *tree) try(p Patch) []*ApplyError {
	if len(p.files) == 0 {
		return []*ApplyError{{Patch: p.Name, Err: errors.New("patch was not made by Load")}}
	}
	undo := t.snapshot(p.files)
	var failed []*ApplyError
	for _, f := range p.files {
		if err := t.apply(f); err != nil {
			err.Patch, err.File = p.Name, target(f)
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		undo()
	}
	return failed
}

// snapshot is how to bring back the files that a patch speaks of, as they are
// before it. What is read from disk meanwhile is forgotten.
func (t *tree) snapshot(files []*gitdiff.File) (undo func()) {
	before, size := map[string]file{}, t.size
	for _, f := range files {
		if known, ok := t.files[target(f)]; ok {
			before[target(f)] = *known
		}
	}
	return func() {
		t.size = size
		for _, f := range files {
			if known, ok := before[target(f)]; ok {
				t.files[target(f)] = &known
			} else {
				delete(t.files, target(f))
			}
		}
	}
}
