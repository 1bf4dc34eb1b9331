package webui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
)

// Where alertmanager 0.31.1 holds its built interface, and where 0.34.2
// embeds it from.
const (
	bundleSource = "asset/assets_vfsdata.go"
	bundleRoot   = "static/"
	bundleTarget = "ui/app/dist"
)

// served says what ui/web.go of alertmanager 0.34.2 does with each extension,
// as its table fileTypes and vite.config.mjs have it.
var served = map[string]serving{
	".css": compressed, ".eot": compressed, ".html": compressed, ".ico": compressed,
	".js": compressed, ".svg": compressed, ".ttf": compressed,
	".woff": plain, ".woff2": plain,
	// It answers 404 for these whether they are there or not.
	".map": never, ".otf": never,
}

type serving int

const (
	unknown    serving = iota
	compressed         // only from a precompressed file; upstream's build deletes the original
	plain              // as it is
	never
)

// ErrBundle is wrapped when a bundle does not hold what it is known for.
var ErrBundle = errors.New("unexpected content of the interface's bundle")

// BundleInput is all that Bundle depends on.
type BundleInput struct {
	Module artifact.Module // what Source is: recorded as UI.Origin
	Source string          // root of that module's verified source; only read
	Out    string          // becomes Assets.Dir; made when missing, must be empty
}

// Bundle takes the interface that a released alertmanager (0.31.1 is the last)
// carries as Go source in asset/assets_vfsdata.go, and lays it out as
// ui/app/dist, from which 0.34.2 embeds its own: X.gz alone for types that
// 0.34.2 serves compressed, X for fonts that it serves as they are, and
// nothing for types that it does not serve. There is no X.br. It runs nothing.
//
// A file of any other type, and the lack of index.html, script.js or
// favicon.ico, wraps ErrBundle.
func Bundle(ctx context.Context, in BundleInput) (Assets, error) {
	fail := func(err error) (Assets, error) {
		return Assets{}, fmt.Errorf("taking the web interface of %s@%s: %w", in.Module.Path, in.Module.Version, err)
	}
	if err := emptyDir(in.Out); err != nil {
		return fail(err)
	}
	root, err := os.OpenRoot(in.Source)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	src, err := readBounded(root, bundleSource, maxVFSSource)
	if err != nil {
		return fail(err)
	}
	files, err := readVFS(src)
	if err != nil {
		return fail(fmt.Errorf("reading %s: %w", bundleSource, err))
	}
	if err := layBundle(ctx, files, in.Out); err != nil {
		return fail(err)
	}
	listed, err := list(in.Out)
	if err != nil {
		return fail(err)
	}
	return Assets{Dir: in.Out, Files: listed, UI: artifact.UI{
		Kind:   "bundle",
		Origin: in.Module,
		Note: "The last built interface that upstream committed to its source, compiled by upstream from Elm and taken from this module; " +
			"it was not built here, nor from the interface's source in the version that embeds it.",
		Packages: []artifact.Package{},
	}}, nil
}

func layBundle(ctx context.Context, files []vfsFile, out string) error {
	missing := []string{"favicon.ico", "index.html", "script.js"}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, ok := strings.CutPrefix(f.Name, bundleRoot)
		if !ok {
			continue // templates of notifications, which 0.34.2 has of its own
		}
		if !embeddable(name) {
			return fmt.Errorf("%w: file name %q cannot be embedded", ErrBundle, name)
		}
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == name })
		to := path.Join(bundleTarget, name)
		var err error
		switch served[path.Ext(name)] {
		case compressed:
			err = writeGzip(out, to+".gz", f.Content)
		case plain:
			err = writeBytes(out, to, f.Content)
		case never:
		default:
			err = fmt.Errorf("%w: file %q is of a type it is not known to have", ErrBundle, name)
		}
		if err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: it lacks %s", ErrBundle, strings.Join(missing, ", "))
	}
	return nil
}
