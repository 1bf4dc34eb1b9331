package modules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"palisade/magefiles/internal/store"
)

// A Given is a module version that is made of files at hand: for it no proxy and no
// checksum database is asked, and the committed hash alone says what it has to be.
// Only Give makes one.
type Given struct {
	module.Version
	proxy string // a folder laid out as a proxy is
}

// Give makes module version m of the files below dir, which content is the hash of,
// as the go command does of a repository: what lies in a folder named vendor, in
// another module, or is no regular file is left out (golang.org/x/mod/zip). The
// same files give the same zip file.
func (c *Client) Give(ctx context.Context, m module.Version, dir, content string, released time.Time) (*Given, error) {
	fail := func(err error) (*Given, error) {
		return nil, fmt.Errorf("making module %s of its repository: %w", m, err)
	}
	at, err := escaped(m)
	if err != nil {
		return fail(err)
	}
	key := store.NewKey("given-1", m.Path, m.Version, content, released.UTC().Format(time.RFC3339))
	_, entry, _, err := store.Do(ctx, c.Store, key, func(_ context.Context, out string) (struct{}, error) {
		goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			return struct{}{}, err
		}
		if path := modfile.ModulePath(goMod); path != m.Path {
			return struct{}{}, fmt.Errorf("its go.mod is that of module %.200q", path)
		}
		info, err := json.Marshal(struct {
			Version string
			Time    time.Time
		}{m.Version, released.UTC()})
		if err != nil {
			return struct{}{}, err
		}
		name := filepath.Join(out, filepath.FromSlash(at.download))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, errors.Join(
			os.WriteFile(name+".info", info, 0o644),
			os.WriteFile(name+".mod", goMod, 0o644),
			writeZip(name+".zip", m, dir),
		)
	})
	if err == nil {
		err = entry.Verify(ctx)
	}
	if err != nil {
		return fail(err)
	}
	return &Given{Version: m, proxy: entry.Dir}, nil
}

func writeZip(name string, m module.Version, dir string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(modzip.CreateFromDir(io.Writer(f), m, dir), f.Close())
}

// environment is what the go command has to know of g: that its folder comes first,
// and that the checksum database knows nothing of it. Modules below its path are
// held against the committed hashes alone, too.
func (g *Given) environment(proxies string) []string {
	if g == nil {
		return []string{"GOPROXY=" + proxies}
	}
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(g.proxy)}
	return []string{"GOPROXY=" + address.String() + "," + proxies, "GONOSUMDB=" + g.Path}
}
