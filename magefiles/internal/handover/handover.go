// Package handover is what one machine gives the next in a release: one file,
// whole, or refused. Whatever carries it is not trusted: its address is the
// digest of the file, which goes another way.
//
// # Format
//
// A hand-over is an uncompressed tar archive (USTAR): every member a regular
// file of mode 0644, owner and group 0 without names, modified at the beginning
// of 1970. The first is handover.json, the Header in the one form that Encode
// writes; behind it come the files that it names, in its order, and the end of
// the archive, two blocks of zeros. Nothing in it is free: of a header there is
// one archive, to the byte, and whatever is not that one is refused. So a link, a
// member twice, a size that is not what follows, or anything behind the end
// needs no rule of its own.
//
// # Refusing
//
// Open reads the file to its end before anybody sees a byte of it: its size
// against the header's, every member against its digest, the whole against the
// digests that were asked for. Unpack holds each file against its digest again.
package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/unpack"
)

// Schema identifies the format that this package reads and writes.
const Schema = "palisade.handover.v1"

// The steps that hand something over.
const (
	Build    = "build"    // dist/, of one shard
	Audit    = "audit"    // test results, of one shard
	Assemble = "assemble" // the whole release, unsigned
	Sign     = "sign"     // the same, signed
	Publish  = "publish"  // what was published, where
)

var steps = []string{Build, Audit, Assemble, Sign, Publish}

// Bounds of one hand-over.
const (
	MaxHeader = 8 << 20 // bytes of handover.json
	maxInputs = 256
	maxShards = 99
)

// Why a hand-over is refused.
var (
	ErrMalformed = errors.New("malformed hand-over")
	ErrStep      = errors.New("hand-over of another step")
	ErrPlan      = errors.New("hand-over of another plan")
	ErrDigest    = errors.New("not the hand-over that was asked for")
	ErrTooLarge  = errors.New("hand-over larger than any that is read here")
)

// A Header says what a hand-over is of, and names its files.
type Header struct {
	Schema string            `json:"schema"` // Schema
	Step   string            `json:"step"`   // that made it
	Plan   artifact.Digest   `json:"plan"`   // of the release
	Commit string            `json:"commit"` // of the checkout that it was made in
	Tool   string            `json:"tool"`   // what made it: "h1:" as checkout.Tool has it, or the digest of a program whose sources are elsewhere
	Shard  Shard             `json:"shard,omitzero"`
	Inputs []artifact.Digest `json:"inputs"` // of the hand-overs that it was made from; sorted
	Files  []artifact.File   `json:"files"`  // sorted by name; without modes
}

// A Shard is one of several parts of a release. The zero Shard is of a step that
// has none.
type Shard struct{ Number, Of int }

// ParseShard reads the text form, "1/2".
func ParseShard(s string) (Shard, error) {
	number, of, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	all, err2 := strconv.Atoi(of)
	shard := Shard{n, all}
	if !ok || err != nil || err2 != nil || n < 1 || n > all || all > maxShards || shard.String() != s {
		return Shard{}, fmt.Errorf("%.40q is no shard: say which of how many, from 1/1 to %d/%d", s, maxShards, maxShards)
	}
	return shard, nil
}

// String is the text form; the zero Shard's is empty.
func (s Shard) String() string {
	if s == (Shard{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Number, s.Of)
}

// Slug is the shard as file names hold it: "1-of-2".
func (s Shard) Slug() string { return fmt.Sprintf("%d-of-%d", s.Number, s.Of) }

// MarshalText gives the text form.
func (s Shard) MarshalText() ([]byte, error) {
	if _, err := ParseShard(s.String()); err != nil {
		return nil, err
	}
	return []byte(s.String()), nil
}

// UnmarshalText accepts exactly what ParseShard does.
func (s *Shard) UnmarshalText(text []byte) (err error) {
	*s, err = ParseShard(string(text))
	return err
}

// Name is what the file of a step is called.
func Name(step string, s Shard) string {
	if s == (Shard{}) {
		return step + ".tar"
	}
	return step + "-" + s.Slug() + ".tar"
}

var (
	commitForm = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	toolForm   = regexp.MustCompile(`^(h1:[0-9A-Za-z+/]{43}=|sha256:[0-9a-f]{64})$`)
)

// check refuses a header that Encode does not write.
func (h Header) check() error {
	sharded := h.Step == Build || h.Step == Audit
	switch {
	case h.Schema != Schema:
		return fmt.Errorf("schema %.60q, want %q", h.Schema, Schema)
	case !slices.Contains(steps, h.Step):
		return fmt.Errorf("no step is called %.60q; there are: %s", h.Step, strings.Join(steps, ", "))
	case h.Plan.IsZero():
		return errors.New("it is of no plan")
	case !commitForm.MatchString(h.Commit):
		return fmt.Errorf("%.80q is no commit", h.Commit)
	case !toolForm.MatchString(h.Tool):
		return fmt.Errorf("%.80q does not say which tool made it", h.Tool)
	case sharded != (h.Shard != Shard{}):
		return fmt.Errorf("shard %q of step %s", h.Shard, h.Step)
	case len(h.Inputs) > maxInputs:
		return fmt.Errorf("it is made from %d others, more than %d", len(h.Inputs), maxInputs)
	case len(h.Files) == 0 && h.Step != Audit: // of what no check knows there is no result
		return errors.New("it holds nothing")
	}
	for i, d := range h.Inputs {
		if d.IsZero() || i > 0 && h.Inputs[i-1].Hex() >= d.Hex() {
			return fmt.Errorf("input %d is none, there twice or out of order", i+1)
		}
	}
	var wall unpack.Wall
	if err := wall.Enter(unpack.Entry{Name: headerName}); err != nil {
		return err
	}
	folders := map[string]string{} // as they are written, by their name in lower case
	for i, f := range h.Files {
		if err := wall.Enter(unpack.Entry{Name: f.Name, Size: f.Size}); err != nil {
			return err
		}
		if strings.HasPrefix(f.Name, ".") || strings.Contains(f.Name, "/.") {
			return fmt.Errorf("file %.200q is hidden, or in a hidden folder", f.Name)
		}
		if f.Digest.IsZero() || f.Mode != "" || i > 0 && h.Files[i-1].Name >= f.Name {
			return fmt.Errorf("file %.200q has no digest, has a mode, or is out of order", f.Name)
		}
		if err := enter(folders, f.Name); err != nil {
			return err
		}
	}
	return nil
}

// enter refuses a file in a folder that is a file as well, or another's in other
// capitals.
func enter(folders map[string]string, name string) error {
	folded := strings.ToLower(name)
	if _, ok := folders[folded]; ok {
		return fmt.Errorf("%.200q is a folder too", name)
	}
	folders[folded] = name
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		// A file is entered under its whole name, a folder with its slash.
		if _, ok := folders[folded[:i]]; ok && !strings.HasSuffix(folders[folded[:i]], "/") {
			return fmt.Errorf("%.200q is a folder too", name[:i])
		}
		if known, ok := folders[folded[:i]]; ok && known != name[:i+1] {
			return fmt.Errorf("folder %.200q is there in other capitals", name[:i])
		}
		folders[folded[:i]] = name[:i+1]
	}
	return nil
}

// Encode writes h in the one form that it has.
func (h Header) Encode() ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, headerName, err)
	}
	if h.Inputs == nil {
		h.Inputs = []artifact.Digest{}
	}
	if h.Files == nil {
		h.Files = []artifact.File{}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(h); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, headerName, err)
	}
	if buf.Len() > MaxHeader {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, headerName, MaxHeader)
	}
	return buf.Bytes(), nil
}

// ParseHeader reads what Encode writes, and nothing else.
func ParseHeader(data []byte) (Header, error) {
	if len(data) > MaxHeader {
		return Header{}, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, headerName, MaxHeader)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var h Header
	if err := dec.Decode(&h); err != nil {
		return Header{}, fmt.Errorf("%w: %s: %w", ErrMalformed, headerName, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("%w: %s: something follows its value", ErrMalformed, headerName)
	}
	form, err := h.Encode()
	if err != nil {
		return Header{}, err
	}
	if !bytes.Equal(form, data) {
		return Header{}, fmt.Errorf("%w: %s is not in the form that it is written in (order of keys, indentation, a key twice or null)", ErrMalformed, headerName)
	}
	return h, nil
}

// same reports whether two are made by one step, in one way, of the same.
func (h Header) same(o Header) bool {
	return h.Step == o.Step && h.Plan == o.Plan && h.Commit == o.Commit && h.Tool == o.Tool && h.Shard == o.Shard && slices.Equal(h.Inputs, o.Inputs)
}

// SortDigests brings digests into the order of Header.Inputs, each once.
func SortDigests(list []artifact.Digest) []artifact.Digest {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b artifact.Digest) int { return strings.Compare(a.Hex(), b.Hex()) })
	return slices.Compact(sorted)
}
