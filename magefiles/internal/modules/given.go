package modules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// A Given is a module version that is made of files at hand: for it no proxy and no
// checksum database is asked, and the committed hash alone says what it has to be.
// Only Give makes one.
type Given struct {
	module.Version
	Sum   string // "h1:", as go.sum has to have it
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
	sum, entry, _, err := store.Do(ctx, c.Store, key, func(_ context.Context, out string) (string, error) {
		goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil {
			return "", err
		}
		if path := modfile.ModulePath(goMod); path != m.Path {
			return "", fmt.Errorf("its go.mod is that of module %.200q", path)
		}
		info, err := json.Marshal(struct {
			Version string
			Time    time.Time
		}{m.Version, released.UTC()})
		if err != nil {
			return "", err
		}
		name := filepath.Join(out, filepath.FromSlash(at.download))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		if err := errors.Join(
			os.WriteFile(name+".info", info, 0o644),
			os.WriteFile(name+".mod", goMod, 0o644),
			writeZip(name+".zip", m, dir),
		); err != nil {
			return "", err
		}
		return dirhash.HashZip(name+".zip", dirhash.Hash1)
	})
	if err == nil {
		err = entry.Verify(ctx)
	}
	if err != nil {
		return fail(err)
	}
	return &Given{Version: m, Sum: sum, proxy: entry.Dir}, nil
}

// check refuses a lock that was made of other files than g: that of a commit which
// the recipe named before, say.
func (g *Given) check(l recipes.Lock) error {
	if g == nil || l.Sums[g.Version] == "" || l.Sums[g.Version] == g.Sum {
		return nil
	}
	return fmt.Errorf("checking %s: %w: its commit's files are %s, but %s is committed; run mage lock and look at what changed", g.Version, ErrChanged, g.Sum, l.Sums[g.Version])
}

// unlocked is a go.sum without what it says of g: the commit's own hash is what
// speaks for that.
func (g *Given) unlocked(goSum []byte) []byte {
	if g == nil {
		return goSum
	}
	var kept []byte
	for line := range bytes.Lines(goSum) {
		if f := bytes.Fields(line); len(f) != 3 || string(f[0]) != g.Path || strings.TrimSuffix(string(f[1]), "/go.mod") != g.Version.Version {
			kept = append(kept, line...)
		}
	}
	return kept
}

// forget takes out of the module cache what other files than those that are given
// left there under the same version: the go command would take that, and ask
// nobody.
func (c *Client) forget() error {
	if c.Given == nil {
		return nil
	}
	at, err := escaped(c.Given.Version)
	if err != nil {
		return err
	}
	name := filepath.Join(c.Cache(), "cache", "download", filepath.FromSlash(at.download))
	goMod, err := os.ReadFile(filepath.Join(c.Given.proxy, filepath.FromSlash(at.download)) + ".mod")
	if err != nil {
		return err
	}
	same := true
	for ending, want := range map[string]string{".ziphash": c.Given.Sum, ".mod": string(goMod)} {
		switch got, err := os.ReadFile(name + ending); {
		case err == nil:
			same = same && strings.TrimSpace(string(got)) == strings.TrimSpace(want)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if same {
		return nil
	}
	// The go command's own mark of a module that has to be unpacked anew. The hash goes
	// last: if this is interrupted, it says that the rest is another's.
	if err := os.WriteFile(name+".partial", nil, 0o644); err != nil {
		return err
	}
	for _, ending := range []string{".zip", ".mod", ".info", ".ziphash"} {
		if err := os.Remove(name + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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
