package webui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Bounds of a built interface and of the small files that are read whole.
const (
	maxAsset  = 64 << 20  // bytes of one file
	maxAssets = 256 << 20 // bytes of all files
	maxCount  = 10_000    // files
	maxSmall  = 1 << 20   // bytes of a template
)

// errAsset is wrapped when a built file cannot be embedded.
var errAsset = errors.New("unfit for embedding")

// assetName is what needs no quoting in a go:embed directive and has no
// meaning there beyond itself.
var assetName = regexp.MustCompile(`^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)*$`)

// embeddable reports whether a folder that is embedded by its name takes the file
// called name in: go:embed leaves out names with a leading dot or underscore
// silently.
func embeddable(name string) bool {
	return assetName.MatchString(name) && !strings.HasPrefix(name, "_") && !strings.Contains(name, "/_")
}

// compressAssets does what upstream's scripts/compress_assets.sh does: it
// writes a compressed copy of every file of built/static to out/<ui>/static,
// and out/<ui>/embed.go, which is <template> and
//
//	//go:embed static/…gz static/…gz
//	var EmbedFS embed.FS
//
// with the names in order of their bytes, which is sort's in the C locale.
func compressAssets(built, template, out, ui string) error {
	root, err := os.OpenRoot(built)
	if err != nil {
		return err
	}
	defer root.Close()
	var names []string
	var total int64
	err = walk(path.Join(built, "static"), func(name string) error {
		name = path.Join("static", name)
		if !assetName.MatchString(name) || strings.HasSuffix(name, ".gz") {
			return fmt.Errorf("built file %q: %w: its name has a meaning for go:embed or is that of a compressed file", name, errAsset)
		}
		data, err := readBounded(root, name, maxAsset)
		if err != nil {
			return err
		}
		if total += int64(len(data)); total > maxAssets || len(names) >= maxCount {
			return fmt.Errorf("built interface: %w: more than %d bytes or %d files", errAsset, maxAssets, maxCount)
		}
		names = append(names, name+".gz")
		return writeGzip(out, path.Join(ui, name+".gz"), data)
	})
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("built interface: %w: it has no file", errAsset)
	}
	// Files were visited in order of their names, and ".gz" can change it.
	slices.Sort(names)
	head, err := readBounded(root, template, maxSmall)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(head, []byte("\n")) {
		return fmt.Errorf("template %s: %w: it does not end with a newline", template, errAsset)
	}
	text := string(head) + "//go:embed " + strings.Join(names, " ") + "\nvar EmbedFS embed.FS\n"
	return writeBytes(out, path.Join(ui, "embed.go"), []byte(text))
}

// readBounded reads a file of at most limit bytes.
func readBounded(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: larger than %d bytes", name, limit)
	}
	return data, nil
}
