package recipes

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/module"
)

// Of what a recipe describes, that is left which the interface it takes needs.
func TestChoose(t *testing.T) {
	names := func(r *Recipe) string {
		var all []string
		for _, l := range r.Licences {
			all = append(all, l.Of)
		}
		for _, b := range r.Bundled {
			all = append(all, b.In)
		}
		return strings.Join(all, " ")
	}
	r, d, err := load(good(t), "drum")
	if err != nil {
		t.Fatal(err)
	}
	if r.UI.Kind() != ElmUI || r.UI.Bundle != nil || r.UI.Elm == nil || names(r) != "pkg:elm/drums/snare@1.0.0 pkg:golang/stdlib@1.26.8 example.org/drum" {
		t.Errorf("from elm: %+v, %s", r.UI, names(r))
	}
	if p := r.UI.Elm.Packages; len(p) != 2 || p[0].Name != "drums/bass@1.0.0" || p[1].Tag != "1.0.0" || p[1].Place() != "git.example.org/drums/snare" {
		t.Errorf("packages are %+v", p)
	}
	own := module.Version{Path: "example.org/drum", Version: "v0.9.1"}
	if got, err := r.SealedVersion(d, own, "vanilla"); err != nil || got != "v0.9.2-0.vanilla.1.elm" {
		t.Errorf("sealed as %s, %v", got, err)
	}
	if got, err := r.SealedVersion(d, module.Version{Path: "example.org/stick", Version: "v1.0.0"}, "hardened"); err != nil || got != "v1.0.1-0.palisade.1" {
		t.Errorf("another module is sealed as %s, %v", got, err)
	}
	digest := r.Digest
	fsys := good(t)
	edit(t, fsys, "drum/recipe.yaml", "from: elm", "from: bundle")
	if r, _, err = load(fsys, "drum"); err != nil {
		t.Fatal(err)
	}
	if r.UI.Kind() != BundleUI || r.UI.Elm != nil || r.UI.Bundle.Sum != "h1:bundle=" || names(r) != "pkg:npm/beat@1.0.0 pkg:golang/stdlib@1.26.8 example.org/drum@v0.8.0 example.org/drum" {
		t.Errorf("from bundle: %+v, %s", r.UI, names(r))
	}
	if got, err := r.SealedVersion(d, own, "hardened"); err != nil || got != "v0.9.2-0.palisade.1" {
		t.Errorf("sealed as %s, %v", got, err)
	}
	if r.Digest == digest {
		t.Error("another interface leaves the recipe's digest")
	}
}

// Each case changes one thing of what loads, and is refused for it, whichever
// interface is taken.
func TestLoadRefusesUI(t *testing.T) {
	const drum, lock = "drum/recipe.yaml", "drum/elm.yaml"
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"two ways and no choice", drum, "  from: elm\n", "", "ui describes bundle and elm: from has to say which of them is taken"},
		{"choice of what is not described", drum, "from: elm", "from: pnpm", `ui: from "pnpm" is none that is described: bundle, elm`},
		{"choice of nothing that exists", drum, "from: elm", "from: ELM", `from "ELM" is none`},
		{"script elsewhere", drum, "script: ui.mjs", "script: ui/ui.mjs", "ui.elm: dir \"ui\" or script \"ui/ui.mjs\" is not a plain path"},
		{"script missing", drum, "script: ui.mjs", "script: um.mjs", `ui.elm: script "um.mjs" is not a file of this recipe`},
		{"folder leads out", drum, "dir: ui", "dir: ../ui", "is not a plain path"},
		{"node unpinned", drum, "node: 24.21.0", "node: 24.0.0", `ui.elm: node "24.0.0" is not pinned`},
		{"compiler unpinned", drum, "compiler: 0.19.1-0", "compiler: 0.19.1", `ui.elm: compiler "0.19.1" is not pinned`},
		{"compiler pinned without a hash", "distribution.yaml", "sha512-elm", "sha1-elm", "elm 0.19.1-0 for linux/amd64: package and its sha512 are needed"},
		{"statement for no interface", drum, "    ui: bundle\n", "    ui: wood\n", `ui "wood" is no kind`},
		{"statement of all for one interface", "distribution.yaml", "    text: [LICENSE]\n", "    text: [LICENSE]\n    ui: elm\n", `ui "elm" is no kind`},
		{"unknown key", lock, "    version: 1.0.0\n", "    version: 1.0.0\n    branch: main\n", "field branch not found"},
		{"no packages", lock, "packages:", "packages: []\nmore:", "field more not found"},
		{"package without an author", lock, "package: drums/bass", "package: bass", `package 1: "bass" "1.0.0" is not author/name`},
		{"package leads out", lock, "package: drums/bass", "package: drums/..", "package 1"},
		{"package with capitals", lock, "package: drums/bass", "package: drums/Bass", "package 1"},
		{"version of two numbers", lock, "version: 1.0.0", "version: 1.0", "version of three numbers"},
		{"version of a byte too many", lock, "version: 1.0.0", "version: 1.0.1000", "three numbers below 1000"},
		{"version with a zero before", lock, "version: 1.0.0", "version: 1.0.00", "version of three numbers"},
		{"out of order", lock, "package: drums/bass", "package: drums/tom", "package drums/snare is there twice or out of order"},
		{"twice", lock, "package: drums/bass", "package: drums/snare", "package drums/snare is there twice"},
		{"no commit", lock, "commit: 89abcdef0123456789abcdef0123456789abcdef", "commit: 1.0.0", `drums/bass@1.0.0: commit "1.0.0" is not 40`},
		{"no hash", lock, "    hash: h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=\n", "", `hash "" is not an h1 hash`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := good(t)
			edit(t, fsys, tt.file, tt.old, tt.new)
			_, _, err := load(fsys, "drum")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	for _, name := range []string{"elm.yaml", "drummer.asc"} {
		fsys := good(t)
		delete(fsys, "drum/"+name)
		if _, _, err := load(fsys, "drum"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// Each case changes one thing of a git source, and is refused for it.
func TestLoadRefusesGit(t *testing.T) {
	const drum = "drum/recipe.yaml"
	for _, tt := range []struct{ name, old, new, want string }{
		{"another scheme", "https://git.example.org", "git://git.example.org", "is not https://host/path, without user"},
		{"no scheme", "https://git.example.org/bands/drum.git", "git@git.example.org:bands/drum.git", "is not https://"},
		{"a transport of git's own", "https://git.example.org/bands/drum.git", "ext::sh -c true", "is not https://"},
		{"an option", "https://git.example.org/bands/drum.git", "--upload-pack=x", "is not https://"},
		{"a password", "https://git.example.org", "https://me:secret@git.example.org", "without user"},
		{"a query", "drum.git", "drum.git?x=1", "without user, query and fragment"},
		{"a fragment", "drum.git", "drum.git#v1", "without user, query and fragment"},
		{"no path", "/bands/drum.git", "", "is not https://host/path of plain names"},
		{"a path that leads out", "/bands/", "/bands/../", "of plain names"},
		{"an escaped path", "/bands/", "/b%2e%2e/", "without user"},
		{"a path with an empty name", "/bands/", "//", "of plain names"},
		{"a path that is an option", "/bands/", "/-bands/", "of plain names"},
		{"a short commit", "0123456789abcdef0123456789abcdef01234567", "0123456", `commit "0123456" is not 40`},
		{"a branch", "0123456789abcdef0123456789abcdef01234567", "main", `commit "main" is not 40`},
		{"a hash of another kind", "h1:AAAAAAAA", "h2:AAAAAAAA", "is not an h1 hash"},
		{"a hash that is short", "h1:AAAAAAAA", "h1:AAAAAAA", "is not an h1 hash"},
		{"signers without a tag", "  tag: v0.9.1\n", "", "signers and unsigned go with a tag"},
		{"a tag without signers", "  signers: [drummer.asc, drummer.pub]\n", "", "tag v0.9.1 needs either signers, or in unsigned the reason"},
		{"a tag with both", "  tag: v0.9.1\n", "  tag: v0.9.1\n  unsigned: Nobody does.\n", "needs either signers, or"},
		{"a tag without signers or a reason", "  signers: [drummer.asc, drummer.pub]\n", "  unsigned: ' '\n", "needs either signers, or"},
		{"a tag that is an option", "tag: v0.9.1", "tag: --all", "is not the plain name of a tag"},
		{"a tag that is a pattern", "tag: v0.9.1", "tag: v0.9.*", "is not the plain name of a tag"},
		{"a tag that is a revision", "tag: v0.9.1", "tag: v0.9.1^{}", "is not the plain name of a tag"},
		{"a tag with dots", "tag: v0.9.1", "tag: v0..9", "is not the plain name of a tag"},
		{"a signer elsewhere", "drummer.asc,", "../bell/drummer.asc,", "is not a file of this recipe that ends with .asc or .pub"},
		{"a signer of no kind", "drummer.asc,", "ui.mjs,", "is not a file of this recipe that ends"},
		{"a commit said twice", "released:", "commit: 0123456789abcdef0123456789abcdef01234567\nreleased:", "commit is git's to say"},
		{"an unknown key", "  tag:", "  branch: main\n  tag:", "field branch not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := good(t)
			edit(t, fsys, drum, tt.old, tt.new)
			if _, _, err := load(fsys, "drum"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	fsys := good(t)
	fsys["drum/drummer.pub"] = &fstest.MapFile{Data: []byte(" \n")}
	if _, _, err := load(fsys, "drum"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "signer drummer.pub is empty") {
		t.Errorf("an empty file of keys: %v", err)
	}
	r, _, err := load(good(t), "drum")
	if err != nil {
		t.Fatal(err)
	}
	if r.Commit != r.Git.Commit || r.StampedRevision() != r.Git.Commit || r.Git.Name != "example.org/drum@v0.9.1" || r.Git.Place() != "git.example.org/bands/drum" ||
		len(r.Git.Keys) != 2 || string(r.Git.Keys[1].Data) != "another key\n" {
		t.Errorf("git is %+v", r.Git)
	}
}
