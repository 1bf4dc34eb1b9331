package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// A Check is one of the numbered checks; see the package's documentation.
type Check int

// The checks, by their numbers.
const (
	Index Check = iota + 1
	Files
	Digest
	Signature
	SPDX
	Provenance
	Record
	Policy
	Members
	Binaries
	Contents
	TestResult
	Loose
	Carried
	Rebuilt
	Workflow
	VEX
	Fresh
)

var checkNames = [...]string{
	Index: "index", Files: "files", Digest: "digest", Signature: "signature", SPDX: "spdx", Provenance: "provenance", Record: "record",
	Policy: "policy", Members: "members", Binaries: "binaries", Contents: "contents", TestResult: "test-result", Loose: "loose", Carried: "carried",
	Rebuilt: "rebuilt", Workflow: "workflow", VEX: "vex", Fresh: "fresh",
}

// String is the check's name.
func (c Check) String() string {
	if c < Index || int(c) >= len(checkNames) {
		return fmt.Sprintf("check %d", int(c))
	}
	return checkNames[c]
}

// MarshalText is the check's name.
func (c Check) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// A Status is how a check ended.
type Status string

// How a check ends. SKIP passes nothing: it was not made, for the reason given.
const (
	Pass Status = "PASS"
	Fail Status = "FAIL"
	Skip Status = "SKIP"
)

// A Line is one check of one artifact, or of the release as a whole.
type Line struct {
	Artifact string `json:"artifact"` // file name; "release.json" of the release as a whole
	Number   Check  `json:"-"`
	Check    string `json:"check"`
	Status   Status `json:"status"`
	Detail   string `json:"detail"` // what was seen, or why not; printable, on one line
}

// A Report is what was checked, line by line: of the release first, then by
// artifact in the order of the index and by number.
type Report struct {
	Policy       string          `json:"policy"`          // its name
	PolicyDigest artifact.Digest `json:"policyDigest"`    // of its file
	Distribution string          `json:"distribution"`    // as the index has it; empty where that was refused
	Release      string          `json:"release"`         // digest of release.json; empty where it could not be read
	Image        string          `json:"image,omitempty"` // digest of the index of an image, which a tag may name no longer
	Seen         uint64          `json:"seen,omitempty"`  // number of the index of releases that was believed, to be remembered
	Passed       bool            `json:"passed"`          // no line is FAIL, and an artifact passed
	Lines        []Line          `json:"lines"`

	// What Summary says, which only a verification can.
	now      time.Time
	resource string
	level    string
	subjects []intoto.Subject
	inputs   []intoto.Resource
}

// Encode is the report as JSON, indented, with a newline at its end.
func (r Report) Encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if r.Lines == nil {
		r.Lines = []Line{}
	}
	err := enc.Encode(r)
	return buf.Bytes(), err
}

// WriteText writes a line for each artifact and check, and the verdict.
func (r Report) WriteText(w io.Writer) error {
	var buf bytes.Buffer
	for _, l := range r.Lines {
		fmt.Fprintf(&buf, "%s  %s  %2d %s: %s\n", l.Status, l.Artifact, int(l.Number), l.Check, l.Detail)
	}
	verdict := "REFUSED"
	if r.Passed {
		verdict = "PASSED"
	}
	fmt.Fprintf(&buf, "%s  policy %s %s\n", verdict, r.Policy, r.PolicyDigest)
	_, err := w.Write(buf.Bytes())
	return err
}

// oneLine is s as a report may show it: some of it may be an attacker's.
func oneLine(s string) string {
	const most = 600
	s = strings.Map(func(r rune) rune {
		if r == '\n' {
			return ';'
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
