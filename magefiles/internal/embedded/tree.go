package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"palisade/magefiles/internal/webui"
)

// maxFile bounds a file that is read whole, in bytes.
const maxFile = 64 << 20

// A tree is the source of one module.
type tree struct {
	root      *os.Root
	generated map[string]map[string][]byte // what vfsgen wrote into a file
	named     map[string]bool              // by the recipe
	elm       map[string][]string          // purls that the recipe says an elm.json names
}

// expand names every file that Bundled.Files stands for, and what each is
// compared with.
func (t *tree) expand(files map[string]string) (map[string]string, error) {
	pairs := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(files)) {
		found, err := t.below(from)
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			to := files[from]
			if strings.HasSuffix(to, "/") {
				to += strings.TrimPrefix(name, from)
			}
			if _, ok := pairs[name]; ok {
				return nil, fmt.Errorf("%w: file %s is named twice", ErrBundled, name)
			}
			pairs[name], t.named[name] = to, true
		}
	}
	return pairs, nil
}

// below is the file called name, or all that lie below it if it ends with "/".
func (t *tree) below(name string) ([]string, error) {
	if !strings.HasSuffix(name, "/") {
		_, err := t.read(name)
		return []string{name}, err
	}
	var found []string
	if file, inner, ok := strings.Cut(name, "#"); ok {
		files, err := t.vfs(file)
		if err != nil {
			return nil, err
		}
		for held := range files {
			if strings.HasPrefix(held, inner) {
				found = append(found, file+"#"+held)
			}
		}
	} else {
		err := fs.WalkDir(t.root.FS(), strings.TrimSuffix(name, "/"), func(held string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				found = append(found, held)
			}
			return err
		})
		if err != nil {
			return nil, gone(name, err)
		}
	}
	if len(found) == 0 {
		return nil, gone(name, fs.ErrNotExist)
	}
	slices.Sort(found)
	return found, nil
}

func gone(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the module has no %s", ErrBundled, name)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

// read is a file of the module, or one in a generated file system.
func (t *tree) read(name string) ([]byte, error) {
	if file, inner, ok := strings.Cut(name, "#"); ok {
		files, err := t.vfs(file)
		if err != nil {
			return nil, err
		}
		data, ok := files[inner]
		if !ok {
			return nil, gone(name, fs.ErrNotExist)
		}
		return data, nil
	}
	f, err := t.root.Open(name)
	if err != nil {
		return nil, gone(name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrBundled, name, maxFile)
	}
	return data, nil
}

func (t *tree) vfs(file string) (map[string][]byte, error) {
	if files, ok := t.generated[file]; ok {
		return files, nil
	}
	src, err := t.read(file)
	if err != nil {
		return nil, err
	}
	files, err := webui.Generated(src)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrBundled, file, err)
	}
	t.generated[file] = files
	return files, nil
}
