package patches

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Variants are the variants of a component that a patch may be for.
var Variants = []string{"hardened", "vanilla"}

// MaxHeaderSize bounds what stands before the first diff of a patch, in bytes.
const MaxHeaderSize = 16 << 10

const diffStart = "diff --git "

// A Header says why a patch is there and when it can go. Continuation lines
// are joined by newlines.
type Header struct {
	Description string   // a line of what, then lines of why
	Forwarded   string   // upstream status
	DropWhen    string   // what must be true for the patch to go
	Variants    []string // that get the patch, in the order of Variants
	Interface   string   // the one kind of web interface with which they do; any if empty
}

// Summary is the first line of the description.
func (h Header) Summary() string {
	first, _, _ := strings.Cut(h.Description, "\n")
	return first
}

var fieldNames = []string{"Description", "Forwarded", "Drop-When", "Variants"}

// interfaceField is the one field that a header may lack.
const interfaceField = "Interface"

// interfaceForm is a kind of web interface, as a recipe's ui names it.
var interfaceForm = regexp.MustCompile(`^[a-z]+$`)

// parseHeader reads the fields that stand before the first diff of the patch
// data and returns the number of lines before that diff.
func parseHeader(name string, data []byte) (Header, int, error) {
	values := make(map[string][]string)
	var (
		field string // that a continuation line belongs to
		size  int
		n     int
		ended bool // by an empty line
	)
	for line := range strings.SplitSeq(string(data), "\n") {
		if strings.HasPrefix(line, diffStart) {
			h, err := newHeader(name, values)
			return h, n, err
		}
		n++
		if size += len(line) + 1; size > MaxHeaderSize {
			return Header{}, 0, malformed(name, n, "no line that begins with %q in the first %d bytes", diffStart, MaxHeaderSize)
		}
		if line == "" {
			ended, field = true, ""
			continue
		}
		if !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
			return Header{}, 0, malformed(name, n, "header holds a control character or is not UTF-8")
		}
		if ended {
			return Header{}, 0, malformed(name, n, "header ends at an empty line: want %q, found %q", diffStart, line)
		}
		if more, ok := strings.CutPrefix(line, " "); ok {
			if field == "" {
				return Header{}, 0, malformed(name, n, "continuation line without a field above it")
			}
			if more = strings.TrimSpace(more); more == "" {
				return Header{}, 0, malformed(name, n, "empty continuation line: write a space and a full stop")
			}
			if more == "." {
				more = ""
			}
			values[field] = append(values[field], more)
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || key != interfaceField && !slices.Contains(fieldNames, key):
			return Header{}, 0, malformed(name, n, "unknown header field %q: want one of %s, %s", key, strings.Join(fieldNames, ", "), interfaceField)
		case values[key] != nil:
			return Header{}, 0, malformed(name, n, "header field %s is there twice", key)
		case value == "":
			return Header{}, 0, malformed(name, n, "header field %s is empty", key)
		}
		field, values[key] = key, []string{value}
	}
	return Header{}, 0, malformed(name, n, "no line begins with %q", diffStart)
}

func newHeader(name string, values map[string][]string) (Header, error) {
	for _, key := range fieldNames {
		if values[key] == nil {
			return Header{}, malformed(name, 1, "header field %s is missing", key)
		}
	}
	if len(values["Description"]) < 2 {
		return Header{}, malformed(name, 1, "header field Description does not say why: continue it on a line that begins with a space")
	}
	variants, err := parseVariants(strings.Join(values["Variants"], " "))
	if err != nil {
		return Header{}, malformed(name, 1, "header field Variants: %v", err)
	}
	kind := strings.Join(values[interfaceField], "\n")
	if kind != "" && !interfaceForm.MatchString(kind) {
		return Header{}, malformed(name, 1, "header field %s: %q is not a kind of web interface", interfaceField, kind)
	}
	return Header{
		Interface:   kind,
		Description: strings.Join(values["Description"], "\n"),
		Forwarded:   strings.Join(values["Forwarded"], "\n"),
		DropWhen:    strings.Join(values["Drop-When"], "\n"),
		Variants:    variants,
	}, nil
}

func parseVariants(list string) ([]string, error) {
	var variants []string
	for v := range strings.SplitSeq(list, ",") {
		v = strings.TrimSpace(v)
		if !slices.Contains(Variants, v) {
			return nil, fmt.Errorf("unknown variant %q: want some of %s", v, strings.Join(Variants, ", "))
		}
		if slices.Contains(variants, v) {
			return nil, fmt.Errorf("variant %s is there twice", v)
		}
		variants = append(variants, v)
	}
	if !slices.Contains(variants, Variants[0]) {
		return nil, fmt.Errorf("%s is not among them", Variants[0])
	}
	slices.Sort(variants)
	return variants, nil
}
