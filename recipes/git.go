package recipes

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Git is one commit of a git repository, pinned by the hash of its files. It
// stands in a recipe for a component's source, and in elm.yaml for that of a
// package of Elm.
//
// Hash is dirhash's "h1:" of the files that "git archive" gives of the commit,
// each named Name, a slash, and its path; so a person finds it out with
//
//	git archive --prefix=NAME/ COMMIT | tar -x
//	find NAME -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum | sha256sum | cut -c-64 | xxd -r -p | base64
//
// where "* -export-subst" stands in the clone's .git/info/attributes: what that
// attribute puts into files would depend on the clone.
//
// A tag is checked where it is named, and then either who may have signed it is
// named as well, or why nobody is.
type Git struct {
	Repository string   `yaml:"repository"` // https://host/path, as git takes it
	Commit     string   `yaml:"commit"`     // 40 hexadecimal digits
	Hash       string   `yaml:"hash"`       // "h1:…"
	Tag        string   `yaml:"tag"`        // has to be at Commit
	Signers    []string `yaml:"signers"`    // files of the recipe's folder: OpenPGP keys (.asc) and SSH keys (.pub) of which one has to have signed Tag
	Unsigned   string   `yaml:"unsigned"`   // in a sentence: why Tag has no signature that is checked

	Name string `yaml:"-"` // module@version, or author/package@version
	Keys []Key  `yaml:"-"` // what Signers names, in that order
}

// A Key is a file of public keys.
type Key struct {
	File string // its name
	Data []byte
}

// maxSigners bounds the files of keys of one source.
const maxSigners = 16

var (
	hashForm       = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	repositoryForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9_][A-Za-z0-9._~-]*)+$`)
	gitTagForm     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$`)
)

// Place is the repository's address without its scheme: host/path, under which
// a mirror keeps it.
func (g Git) Place() string {
	return strings.TrimSuffix(strings.TrimPrefix(g.Repository, "https://"), ".git")
}

// Pins is all that g says: what was fetched for one list of pins is not taken for
// another.
func (g Git) Pins() []string {
	pins := []string{g.Name, g.Repository, g.Commit, g.Hash, g.Tag, g.Unsigned}
	for _, k := range g.Keys {
		pins = append(pins, k.File, string(k.Data))
	}
	return pins
}

// validate checks g's form, and that of a tag with its signers.
func (g Git) validate() error {
	address, err := url.Parse(g.Repository)
	switch {
	case err != nil || address.Scheme != "https" || g.Repository != "https://"+address.Host+address.Path:
		return fmt.Errorf("repository %q is not https://host/path, without user, query and fragment", g.Repository)
	case !repositoryForm.MatchString(strings.Replace(g.Place(), address.Host, address.Hostname(), 1)) || strings.Contains(g.Place(), ".."):
		return fmt.Errorf("repository %q is not https://host/path of plain names", g.Repository)
	case !commitForm.MatchString(g.Commit):
		return fmt.Errorf("commit %q is not 40 hexadecimal digits", g.Commit)
	case !hashForm.MatchString(g.Hash):
		return fmt.Errorf("hash %q is not an h1 hash", g.Hash)
	case g.Tag == "" && len(g.Signers)+len(g.Unsigned) > 0:
		return errors.New("signers and unsigned go with a tag")
	case g.Tag == "":
		return nil
	case !gitTagForm.MatchString(g.Tag) || strings.Contains(g.Tag, "..") || strings.HasSuffix(g.Tag, ".") || strings.HasSuffix(g.Tag, ".lock"):
		return fmt.Errorf("tag %q is not the plain name of a tag", g.Tag)
	case (len(g.Signers) == 0) == (strings.TrimSpace(g.Unsigned) == ""):
		return fmt.Errorf("tag %s needs either signers, or in unsigned the reason why it has none", g.Tag)
	case len(g.Signers) > maxSigners:
		return fmt.Errorf("tag %s has more than %d signers", g.Tag, maxSigners)
	}
	return nil
}

// load validates g and reads its signers' keys from the recipe's folder.
func (g *Git) load(dir fs.FS, name string) error {
	g.Name = name
	if err := g.validate(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	for _, file := range g.Signers {
		if ext := path.Ext(file); file != path.Base(file) || ext != ".asc" && ext != ".pub" {
			return fmt.Errorf("%w: %s: signer %q is not a file of this recipe that ends with .asc or .pub", ErrInvalid, name, file)
		}
		data, err := readFile(dir, file)
		if err != nil {
			return fmt.Errorf("%w: %s: signer: %w", ErrInvalid, name, err)
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return fmt.Errorf("%w: %s: signer %s is empty", ErrInvalid, name, file)
		}
		g.Keys = append(g.Keys, Key{File: file, Data: data})
	}
	return nil
}

// files are those of the recipe's folder that g takes.
func (g *Git) files() []string {
	if g == nil {
		return nil
	}
	return g.Signers
}

// loadGit reads what the recipe says of upstream's repository, and takes the
// commit from there.
func (r *Recipe) loadGit(*Distribution) error {
	if r.Git == nil {
		return nil
	}
	if r.Commit != "" {
		return fmt.Errorf("%w: recipe.yaml: commit is git's to say, where there is git", ErrInvalid)
	}
	r.Commit = r.Git.Commit
	return r.Git.load(r.Dir, r.Module+"@"+r.Lock.Upstream)
}
