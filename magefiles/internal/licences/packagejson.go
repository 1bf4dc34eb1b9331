package licences

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
)

const (
	maxMetadata = 1 << 20 // bytes of a package.json
	maxNesting  = 64      // of values in it
	maxName     = 300     // bytes of a name or an address taken from it
)

// metadata is what package.json says that is of use here.
type metadata struct {
	licence, author, homepage string
}

// parseMetadata reads a package.json. Fields of a form that npm does not know
// are passed over; what is no JSON object, or beyond the bounds, is refused.
func parseMetadata(data []byte) (metadata, error) {
	if len(data) > maxMetadata {
		return metadata{}, fmt.Errorf("%w: package.json is larger than %d bytes", ErrSource, maxMetadata)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := checkNesting(data); err != nil {
		return metadata{}, err
	}
	var p map[string]json.RawMessage
	if err := json.Unmarshal(data, &p); err != nil {
		return metadata{}, fmt.Errorf("%w: package.json: %w", ErrSource, err)
	}
	m := metadata{licence: declared(p["license"])}
	if m.licence == "" {
		m.licence = declared(p["licenses"])
	}
	for _, key := range []string{"author", "maintainers", "contributors"} {
		if m.author = person(p[key]); m.author != "" {
			break
		}
	}
	if m.homepage = address(text(p["homepage"])); m.homepage == "" {
		m.homepage = repository(p["repository"])
	}
	return m, nil
}

func checkNesting(data []byte) error {
	depth := 0
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		t, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: package.json: %w", ErrSource, err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxNesting {
			return fmt.Errorf("%w: package.json is nested more than %d deep", ErrSource, maxNesting)
		}
	}
}

// text is a JSON string, of one line and a bounded length, or "".
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || len(s) > maxExpression {
		return ""
	}
	return strings.Join(strings.Fields(readable([]byte(s))), " ")
}

// declared reads "MIT", {"type": "MIT"}, and a list of either, of which one
// may choose.
func declared(raw json.RawMessage) string {
	if s := text(raw); s != "" {
		return s
	}
	var old struct{ Type, Name json.RawMessage }
	if json.Unmarshal(raw, &old) == nil {
		if s := text(old.Type); s != "" {
			return s
		}
		return text(old.Name)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return ""
	}
	var all []string
	for _, item := range list {
		if s := declared(item); s != "" {
			all = append(all, s)
		}
	}
	if len(all) > 1 {
		return "(" + strings.Join(all, " OR ") + ")"
	}
	return strings.Join(all, "")
}

var (
	personForm = regexp.MustCompile(`^([^<>()]+?)?\s*(?:<([^<>]*)>)?\s*(?:\(.*\)?)?$`)
	mailForm   = regexp.MustCompile(`^[^\s@()<>]+@[^\s@()<>]+$`)
	// Who ends so is a company or a group, whatever field it stands in.
	groupForm = regexp.MustCompile(`(?i)(\b(inc|llc|ltd|corp|co|gmbh|s\.?a|b\.?v|ag|foundation|team|authors|contributors|technologies|labs|project|google|microsoft|facebook|meta|vercel)\.?|contributors \S+)$`)
)

// person reads "Name <mail> (address)", {"name", "email"}, and a list of
// either with one member: of several none is the supplier.
func person(raw json.RawMessage) string {
	var name, mail string
	var object struct{ Name, Email json.RawMessage }
	var list []json.RawMessage
	switch {
	case text(raw) != "":
		m := personForm.FindStringSubmatch(text(raw))
		if m == nil {
			return ""
		}
		name, mail = m[1], m[2]
	case json.Unmarshal(raw, &object) == nil:
		name, mail = text(object.Name), text(object.Email)
	case json.Unmarshal(raw, &list) == nil && len(list) == 1 && !bytes.HasPrefix(list[0], []byte("[")):
		return person(list[0])
	}
	// SPDX has the address in parentheses, so a name cannot have any.
	name = strings.TrimSpace(strings.NewReplacer("(", "", ")", "").Replace(name))
	if name == "" || len(name)+len(mail) > maxName {
		return ""
	}
	kind := "Person: "
	if groupForm.MatchString(name) {
		kind = "Organization: "
	}
	if mailForm.MatchString(mail) {
		return kind + name + " (" + mail + ")"
	}
	return kind + name
}

// address is an http or https address, or "".
func address(s string) string {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxName || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}

var shortRepository = regexp.MustCompile(`^(?:github:)?([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)$`)

// repository reads an address of git's or {"url"} and gives the one for
// people.
func repository(raw json.RawMessage) string {
	s := text(raw)
	var object struct{ URL json.RawMessage }
	if s == "" && json.Unmarshal(raw, &object) == nil {
		s = text(object.URL)
	}
	if m := shortRepository.FindStringSubmatch(s); m != nil {
		s = "https://github.com/" + m[1]
	}
	s = strings.TrimPrefix(s, "git+")
	for _, old := range []string{"git://", "ssh://git@", "git@github.com:"} {
		if rest, ok := strings.CutPrefix(s, old); ok {
			if old == "git@github.com:" {
				rest = "github.com/" + rest
			}
			s = "https://" + rest
		}
	}
	return address(strings.TrimSuffix(s, ".git"))
}
