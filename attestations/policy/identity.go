package policy

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"palisade/attestations/bundle"
)

// repository is the address of a source repository, or the word for none. What is
// written otherwise than a certificate has it would match nothing, and is refused.
func (r *reader) repository(n *yaml.Node) string {
	w := r.word(n)
	if w == bundle.NoRepository {
		return w
	}
	u, err := url.Parse(w)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" || strings.HasSuffix(u.Path, "/") || w != "https://"+u.Host+u.EscapedPath() {
		r.fail(n, "%.100q is neither %s nor the address of a source repository, as https://ci.example/owner/name", w, bundle.NoRepository)
	}
	return w
}

// checkPattern refuses a pattern that is not anchored, or that somebody could
// match whom nobody thought of. Matching it, whole, is for package bundle.
func checkPattern(pattern string) error {
	body, front := strings.CutPrefix(pattern, "^")
	body, back := strings.CutSuffix(body, "$")
	if !front || !back {
		return fmt.Errorf("pattern %.100q is not anchored: begin it with ^ and end it with $", pattern)
	}
	// On its own, so that it cannot close a group that is put around it.
	tree, err := syntax.Parse(body, syntax.Perl)
	if err == nil {
		err = definite(tree)
	}
	if err != nil {
		return fmt.Errorf("pattern %.100q: %w", pattern, err)
	}
	whole, err := regexp.Compile(`\A(?:` + body + `)\z`)
	if err != nil {
		return fmt.Errorf("pattern %.100q: %w", pattern, err)
	}
	if whole.MatchString("") {
		return fmt.Errorf("pattern %.100q matches a subject that is empty", pattern)
	}
	for _, s := range bundle.Nobody {
		if whole.MatchString(s) {
			return fmt.Errorf("pattern %.100q matches the subject %q, and so those of anybody: name whom you trust", pattern, s)
		}
	}
	return nil
}

// definite refuses what matches characters that nobody thought of.
func definite(re *syntax.Regexp) error {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return errors.New(`it matches any character: write the ones that are meant, as [a-z0-9]+, and \. for a full stop`)
	case syntax.OpCharClass:
		for i := 1; i < len(re.Rune); i += 2 {
			if re.Rune[i] > unicode.MaxASCII {
				return errors.New("a class of it is negated or reaches beyond ASCII: write the characters that are meant")
			}
		}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return errors.New("it has (?i), by which a k is also the sign for kelvin: write the characters that are meant")
		}
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText:
		return errors.New("it has an anchor in its middle: write two identities")
	case syntax.OpEmptyMatch:
		return errors.New("a part of it is empty")
	}
	for _, sub := range re.Sub {
		if err := definite(sub); err != nil {
			return err
		}
	}
	return nil
}
