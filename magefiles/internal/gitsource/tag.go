package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"palisade/recipes"
)

// maxTag bounds a tag object, in bytes.
const maxTag = 1 << 20

const (
	pgpBegin = "-----BEGIN PGP SIGNATURE-----"
	sshBegin = "-----BEGIN SSH SIGNATURE-----"
)

// marks begin what git takes for a signature. Those of the others are no signature
// that can be checked here, and make a tag a signed one all the same.
var marks = []string{pgpBegin, sshBegin, "-----BEGIN PGP MESSAGE-----", "-----BEGIN SIGNED MESSAGE-----"}

// A tagObject is what git cat-file tag says:
//
//	object <commit> LF type <type> LF tag <name> LF [tagger <person and time> LF] LF <message> <signature>
type tagObject struct {
	object, kind, name string
	signed             []byte // all that a signature is over
	signature          []byte // all that follows; empty if there is none
}

// parseTag reads a tag object strictly: a header that is not known could be a
// signature of another form, or a second tag's.
func parseTag(raw []byte) (tagObject, error) {
	t := tagObject{signed: raw}
	if len(raw) > maxTag {
		return tagObject{}, fmt.Errorf("tag object is larger than %d bytes", maxTag)
	}
	if bytes.IndexByte(raw, 0) >= 0 {
		return tagObject{}, errors.New("tag object has a NUL")
	}
	rest := string(raw)
	for _, field := range []struct {
		name string
		to   *string
	}{{"object ", &t.object}, {"type ", &t.kind}, {"tag ", &t.name}} {
		line, after, ok := strings.Cut(rest, "\n")
		value, named := strings.CutPrefix(line, field.name)
		if !ok || !named || value == "" {
			return tagObject{}, fmt.Errorf("tag object has %q where %q is to be", shown(line), field.name)
		}
		*field.to, rest = value, after
	}
	// The first tags of some repositories have no tagger.
	if line, after, ok := strings.Cut(rest, "\n"); ok && strings.HasPrefix(line, "tagger ") {
		rest = after
	}
	message, ok := strings.CutPrefix(rest, "\n")
	if !ok && rest != "" {
		line, _, _ := strings.Cut(rest, "\n")
		return tagObject{}, fmt.Errorf("tag object has the unknown header %q", shown(line))
	}
	// As git does it: the last line that begins like a signature begins it.
	from := len(raw) - len(message)
	at := -1
	for i := from; i < len(raw); {
		for _, mark := range marks {
			if bytes.HasPrefix(raw[i:], []byte(mark)) {
				at = i
			}
		}
		next := bytes.IndexByte(raw[i:], '\n')
		if next < 0 {
			break
		}
		i += next + 1
	}
	if at >= 0 {
		t.signed, t.signature = raw[:at], raw[at:]
	}
	return t, nil
}

// tag holds the tag that g names against it, and returns whose signature of it was
// verified.
func (r *repository) tag(ctx context.Context, g recipes.Git) (signedBy string, err error) {
	if g.Tag == "" {
		return "", nil
	}
	ref := "refs/tags/" + g.Tag
	at, err := r.ask(ctx, "rev-parse", "--verify", "--end-of-options", ref)
	if err != nil {
		return "", err
	}
	object := strings.TrimSpace(at)
	if object == g.Commit {
		return signer(g, object, nil)
	}
	kind, err := r.ask(ctx, "cat-file", "-t", object)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(kind) != "tag" {
		return "", fmt.Errorf("%w: %s is at %s, and the recipe has %s: find out whether it was moved", ErrTag, g.Tag, object, g.Commit)
	}
	raw, err := r.ask(ctx, "cat-file", "tag", object)
	if err != nil {
		return "", err
	}
	return signer(g, object, []byte(raw))
}

// signer holds a tag against g, and returns whose signature it bears, or "" where
// g says that it has none. raw is the tag object, or nil if the tag names the
// commit itself.
func signer(g recipes.Git, object string, raw []byte) (string, error) {
	keys, err := readKeys(g.Keys)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTag, err)
	}
	t := tagObject{object: g.Commit, kind: "commit", name: g.Tag}
	if raw != nil {
		if t, err = parseTag(raw); err != nil {
			return "", fmt.Errorf("%w: %s at %s: %w", ErrTag, g.Tag, object, err)
		}
	}
	switch {
	case t.kind != "commit":
		return "", fmt.Errorf("%w: %s names a %s and not a commit", ErrTag, g.Tag, t.kind)
	case t.object != g.Commit:
		return "", fmt.Errorf("%w: %s is at %s, and the recipe has %s: find out whether it was moved", ErrTag, g.Tag, t.object, g.Commit)
	case t.name != g.Tag:
		return "", fmt.Errorf("%w: what is called %s says that it is %q", ErrTag, g.Tag, t.name)
	case len(t.signature) == 0 && len(g.Keys) == 0:
		return "", nil
	case len(t.signature) == 0:
		return "", fmt.Errorf("%w: %s bears no signature, and the recipe names its signers", ErrTag, g.Tag)
	case len(g.Keys) == 0:
		return "", fmt.Errorf("%w: the recipe says that %s is unsigned, and it is signed by %s: name its signers' keys", ErrTag, g.Tag, described(t.signature))
	}
	by, err := keys.verify(t)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not signed by one of %s: %w", ErrTag, g.Tag, strings.Join(g.Signers, ", "), err)
	}
	return by, nil
}

func (k keys) verify(t tagObject) (string, error) {
	switch {
	case bytes.HasPrefix(t.signature, []byte(pgpBegin)):
		return k.verifyPGP(t)
	case bytes.HasPrefix(t.signature, []byte(sshBegin)):
		return k.verifySSH(t)
	}
	return "", errors.New("its signature is neither of OpenPGP nor of SSH")
}

// described says who made a signature that is not checked.
func described(signature []byte) string {
	if sig, err := readPGP(signature); err == nil {
		return issuer(sig)
	}
	if sig, err := readSSH(signature); err == nil {
		return sshName(sig.PublicKey)
	}
	return "somebody, in a form that is not known"
}
