package gitsource

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/recipes"
)

func TestFetch(t *testing.T) {
	f := newForge(t)
	before := f.commit(drum)
	later := maps.Clone(drum)
	later["drum.go"] = "package drum // louder\n"
	f.commit(later)
	g := f.source(before, drum)
	server := f.serve()
	server.Start()
	for name, mirror := range map[string]string{
		"a folder": f.root, "a folder's address": "file://" + f.root, "git's server": server.URL, "a slash behind it": server.URL + "/",
	} {
		t.Run(name, func(t *testing.T) {
			c := f.client()
			c.Mirror = mirror
			tree, err := c.Fetch(t.Context(), g)
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range drum {
				data, err := os.ReadFile(filepath.Join(tree.Dir, filepath.FromSlash(file)))
				if err != nil || string(data) != content {
					t.Errorf("%s holds %q, %v", file, data, err)
				}
			}
			if a := tree.Artifact(); a.Name != g.Name || a.Commit != before || a.Sum != g.Hash || a.Tag+a.SignedBy != "" {
				t.Errorf("it is %+v", a)
			}
			if held := left(t, c); len(held) > 0 {
				t.Errorf("left behind: %q", held)
			}
			// What is there is not fetched again, and is held against what was fetched.
			c.Git, c.Mirror = "/no/such/git", "/no/such/mirror"
			again, err := c.Fetch(t.Context(), g)
			if err != nil || again.Dir != tree.Dir || again.Verify(t.Context()) != nil {
				t.Errorf("again: %s, %v", again.Dir, err)
			}
			if err := os.WriteFile(filepath.Join(tree.Dir, "drum.go"), []byte("package evil\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if again.Verify(t.Context()) == nil {
				t.Error("a file that was changed is let pass")
			}
		})
	}
}

// The repository itself is asked by https, with the authorities that the caller
// names, where the mirror has not what is asked for.
func TestFetchFromTheRepository(t *testing.T) {
	f, empty := newForge(t), newForge(t)
	g := f.source(f.commit(drum), drum)
	empty.commit(map[string]string{"other": ""})
	server := f.serve()
	server.StartTLS()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pemOf(server.Certificate()), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, mirror := range map[string]string{"no mirror": "", "a mirror without the repository": t.TempDir(), "a mirror without the commit": empty.root} {
		c := f.client()
		c.Mirror, c.origin = mirror, func(g recipes.Git) string { return server.URL + "/" + g.Place() + ".git" }
		c.Env = []string{"PATH=" + os.Getenv("PATH")}
		if _, err := c.Fetch(t.Context(), g); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s, from a server nobody vouches for: %v", name, err)
		}
		c.Env = append(c.Env, "SSL_CERT_FILE="+authority)
		if _, err := c.Fetch(t.Context(), g); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that knows nothing but files gives all of the history.
func TestFetchFromFiles(t *testing.T) {
	f := newForge(t)
	g := f.source(f.commit(drum), drum)
	g.Tag, g.Unsigned = "v0.9.1", "A test."
	f.run("", "update-ref", "refs/tags/v0.9.1", g.Commit)
	f.commit(map[string]string{"other": ""})
	f.run("", "update-server-info")
	server := httptest.NewServer(http.FileServer(http.Dir(f.root)))
	t.Cleanup(server.Close)
	c := f.client()
	c.Mirror = server.URL
	if _, err := c.Fetch(t.Context(), g); err != nil {
		t.Error(err)
	}
	g.Commit = strings.Repeat("0123", 10)
	if _, err := c.Fetch(t.Context(), g); !errors.Is(err, ErrFetch) {
		t.Errorf("a commit that is nowhere: %v", err)
	}
}

// All of the history is too much to get of a mirror that has not even the commit:
// that speaks against the mirror alone.
func TestFetchFromFilesTooMany(t *testing.T) {
	f, stale := newForge(t), newForge(t)
	g := f.source(f.commit(drum), drum)
	noise := make([]byte, 3<<20)
	chaos := rand.NewChaCha8([32]byte{})
	_, _ = chaos.Read(noise)
	stale.commit(map[string]string{"noise": string(noise)})
	stale.run("", "update-server-info")
	server := httptest.NewServer(http.FileServer(http.Dir(stale.root)))
	t.Cleanup(server.Close)
	c := f.client()
	c.Mirror, c.Bounds.Received = server.URL, 1<<20
	if _, err := c.Fetch(t.Context(), g); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "it gives nothing but all of its history") || !strings.Contains(err.Error(), "127.0.0.1:1/nowhere") {
		t.Errorf("from nowhere else: %v", err)
	}
	c.origin = func(recipes.Git) string { return fileAddress(f.dir) }
	if _, err := c.Fetch(t.Context(), g); err != nil {
		t.Error(err)
	}
}

func TestFetchRefuses(t *testing.T) {
	random := make([]byte, 3<<20)
	chaos := rand.NewChaCha8([32]byte{})
	_, _ = chaos.Read(random)
	for name, test := range map[string]struct {
		files  map[string]string
		change func(f *forge, c *Client, g *recipes.Git)
		want   error
		says   string
	}{
		"another hash": {drum, func(_ *forge, _ *Client, g *recipes.Git) { g.Hash = "h1:" + strings.Repeat("A", 43) + "=" }, ErrChanged,
			"and h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= is pinned"},
		"another name":          {drum, func(_ *forge, _ *Client, g *recipes.Git) { g.Name = "example.org/drum@v0.9.2" }, ErrChanged, "is pinned"},
		"a commit that is not":  {drum, func(_ *forge, _ *Client, g *recipes.Git) { g.Commit = strings.Repeat("0123", 10) }, ErrFetch, "not our ref"},
		"a tree for a commit":   {drum, func(f *forge, _ *Client, g *recipes.Git) { g.Commit = f.run("", "rev-parse", g.Commit+"^{tree}") }, ErrRefused, "is a tree there"},
		"no git":                {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Git = "" }, nil, "install git"},
		"no such git":           {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Git = "/no/such/git" }, nil, "git init"},
		"a mirror not there":    {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Mirror = "/no/such/mirror" }, nil, "PALISADE_GIT_MIRROR"},
		"a mirror by ssh":       {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Mirror = "ssh://git.example.org" }, nil, "is not the address of a folder, or of a server by http"},
		"a mirror's password":   {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Mirror = "https://me:secret@git.example.org" }, nil, `"https://git.example.org/git.example.org/bands/drum.git" is not`},
		"a mirror's key":        {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Mirror = "https://git.example.org?key=secret" }, nil, "without user, query"},
		"a mirror misspelt":     {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Mirror = "https://me:secret@git.example.org:a" }, nil, "it is not the address"},
		"a mirror on a machine": {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Mirror = "file://machine/folder" }, nil, "is not file:///"},
		"too many files":        {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Bounds.Files = 2 }, ErrRefused, "more than 2 files"},
		"too many bytes":        {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Bounds.Bytes = 20 }, ErrRefused, "or 20 bytes"},
		"too deep":              {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Bounds.Depth = 2 }, ErrRefused, `"vendor/stick/stick.go" lies deeper than 2`},
		"absurd size":           {map[string]string{"noise": string(random)}, func(_ *forge, c *Client, _ *recipes.Git) { c.Bounds.Received = 1 << 20 }, ErrRefused, "more than 1048576 bytes of it were received"},
		"no time":               {drum, func(_ *forge, c *Client, _ *recipes.Git) { c.Bounds.Patience = time.Nanosecond }, ErrFetch, "git did not end in 1ns"},
		"a link":                {map[string]string{"120000 way": "/etc/passwd"}, nil, ErrRefused, `"way" is a symbolic link`},
		"a submodule":           {map[string]string{"160000 sub": strings.Repeat("89ab", 10), "f": ""}, nil, ErrRefused, `"sub" is a submodule`},
		"names that fold":       {map[string]string{"A/x": "1", "a/y": "2"}, nil, ErrRefused, `are one where capitals`},
		"git's own folder":      {map[string]string{".git/config": ""}, nil, ErrRefused, "would be git's own"},
		"git's own in capitals": {map[string]string{"a/.GIT/config": ""}, nil, ErrRefused, "would be git's own"},
		"a way out":             {map[string]string{"../x": ""}, nil, ErrRefused, "is no plain path"},
		"a backslash":           {map[string]string{`a\b`: ""}, nil, ErrRefused, "has a name with one of"},
		"no files":              {map[string]string{}, nil, ErrRefused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t)
			g := f.source(f.commit(test.files), nil)
			if test.files["go.mod"] != "" {
				g = f.source(g.Commit, test.files)
			}
			c := f.client()
			if test.change != nil {
				test.change(f, c, &g)
			}
			_, err := c.Fetch(t.Context(), g)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got  %v\nwant %v %q", err, test.want, test.says)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n\n")) {
				t.Errorf("it says too much: %v", err)
			}
			if held := left(t, c); len(held) > 0 {
				t.Errorf("left behind: %q", held)
			}
		})
	}
}

// Of many, all that are missing are named, with how to have them; anything else
// ends it.
func TestFetchAll(t *testing.T) {
	f := newForge(t)
	g := f.source(f.commit(drum), drum)
	missing := g
	missing.Name, missing.Repository = "elm/core@1.0.0", "https://git.example.org/elm/core"
	other := missing
	other.Name, other.Repository = "elm/html@1.0.0", "https://git.example.org/elm/html.git"
	c := f.client()
	if trees, err := c.FetchAll(t.Context(), []recipes.Git{g}); err != nil || len(trees) != 1 {
		t.Errorf("what is there: %d, %v", len(trees), err)
	}
	_, err := c.FetchAll(t.Context(), []recipes.Git{missing, g, other})
	if !errors.Is(err, ErrFetch) {
		t.Fatal(err)
	}
	for _, says := range []string{
		"fetching elm/core@1.0.0, commit " + g.Commit + " of https://git.example.org/elm/core: ", "fetching elm/html@1.0.0",
		"missing: 2 of 3 commits", "PALISADE_GIT_MIRROR",
		"\n  git clone --mirror https://git.example.org/elm/core MIRROR/git.example.org/elm/core.git",
		"\n  git clone --mirror https://git.example.org/elm/html.git MIRROR/git.example.org/elm/html.git",
	} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v\ndoes not say %q", err, says)
		}
	}
	wrong := g
	wrong.Hash = "h1:" + strings.Repeat("A", 43) + "="
	if _, err := c.FetchAll(t.Context(), []recipes.Git{missing, wrong, other}); !errors.Is(err, ErrChanged) || strings.Contains(err.Error(), "elm/") {
		t.Errorf("one that is wrong: %v", err)
	}
}

// Where both places lack it, the error has what each said.
func TestFetchSaysWhereItAsked(t *testing.T) {
	f := newForge(t)
	g := f.source(strings.Repeat("0123", 10), drum)
	_, err := f.client().Fetch(t.Context(), g)
	if err == nil || !strings.Contains(err.Error(), "from file://"+f.dir) || !strings.Contains(err.Error(), "from https://127.0.0.1:1/nowhere") {
		t.Error(err)
	}
}

func TestFetchInterrupted(t *testing.T) {
	f := newForge(t)
	g := f.source(f.commit(drum), drum)
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hang.Close)
	c := f.client()
	c.Mirror = hang.URL
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.Fetch(ctx, g); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if held := left(t, c); len(held) > 0 {
		t.Errorf("left behind: %q", held)
	}
}
