// Package artifact holds the values that every other package speaks of:
// digests, platforms, and the Manifest, which says of each artifact what was
// observed while it was built. It is a leaf: it imports the standard library
// alone, so that a consumer can read a release without anything that builds.
//
// # Format
//
// A Manifest is the file release.json: UTF-8 JSON, indented by two spaces,
// artifacts sorted by name, every list in a stated order, no unknown field.
// release.schema.json describes it to other tools. Everything in it is read
// back from results (build info, files, the sandbox's own report); the field
// "timing" alone may differ between two builds of the same inputs.
package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ManifestSchema identifies the format that this package reads and writes.
const ManifestSchema = "palisade.release.v1"

// MaxManifestSize bounds what ParseManifest reads, in bytes.
const MaxManifestSize = 64 << 20

// ErrManifest is what every refusal of a manifest wraps.
var ErrManifest = errors.New("malformed release manifest")

// A Manifest is the index of a release.
type Manifest struct {
	Schema       string   `json:"schema"`           // ManifestSchema
	Distribution string   `json:"distribution"`     // who publishes it
	Artifacts    []Record `json:"artifacts"`        // sorted by Name
	Images       []Image  `json:"images,omitempty"` // made of these artifacts, sorted by Name
}

// A Record says what one artifact is and what was observed in its build.
type Record struct {
	Name            string     `json:"name"`   // file name in dist/
	Size            int64      `json:"size"`   // bytes
	Digest          Digest     `json:"digest"` // of the file
	Component       string     `json:"component"`
	Version         string     `json:"version"`         // ours: 3.15.0-palisade.1
	UpstreamVersion string     `json:"upstreamVersion"` // 3.15.0
	Platform        Platform   `json:"platform"`
	Variant         string     `json:"variant"`          // hardened or vanilla
	Recipe          Digest     `json:"recipe"`           // of every file of the recipe, see recipes.Recipe.Digest
	Epoch           int64      `json:"epoch"`            // SOURCE_DATE_EPOCH, seconds since 1970 UTC
	Source          Module     `json:"source"`           // upstream, as the checksum database knows it, or as its commit gives it
	Git             *Git       `json:"git,omitempty"`    // the commit that Source was made of, where it was not fetched from the module proxy
	Revision        string     `json:"revision"`         // what --version says: upstream's commit, or the source h1
	Patched         []Patched  `json:"patched"`          // in order of module path; empty where nothing was changed
	UI              *UI        `json:"ui,omitempty"`     // what was embedded as web interface
	Embedded        []Embedded `json:"embedded"`         // in the binaries, though no Go module; sorted by PURL
	Toolchains      []Tool     `json:"toolchains"`       // everything that ran, sorted by name
	Build           Invocation `json:"build"`            // how the compiler was run
	Binaries        []Binary   `json:"binaries"`         // sorted by name
	Members         []File     `json:"members"`          // what the archive holds, in its order
	Documents       []File     `json:"documents"`        // SPDX, of the archive and of each binary; below dist/, sorted by name
	Timing          []Stage    `json:"timing,omitempty"` // in order of the pipeline
}

// A Module is a Go module version. Sum is go.sum's "h1:" hash of its content;
// Zip is the digest of the zip file that held it, where one was read.
type Module struct {
	Path    string  `json:"path"`
	Version string  `json:"version"`
	Sum     string  `json:"sum"`
	Zip     *Digest `json:"zip,omitempty"`
	Replace *Module `json:"replace,omitempty"` // what was compiled in its place
}

// Patched is a module that was changed before it was compiled.
type Patched struct {
	From    Module      `json:"from"`
	To      Module      `json:"to"`      // the sealed module version and its own hash
	Patches []PatchFile `json:"patches"` // in the order applied
	Added   []File      `json:"added"`   // files no patch speaks of (a built UI), sorted by name
}

// PatchFile names a patch by the path below patches/ and its digest.
type PatchFile struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
}

// UI says where the bytes of an embedded web interface come from.
type UI struct {
	Kind     string    `json:"kind"`              // "pnpm", "elm": built here from source; "bundle": taken from a released module
	Origin   Module    `json:"origin"`            // the module whose source was built, or whose bundle was taken
	Note     string    `json:"note"`              // in a sentence, for a person
	Packages []Package `json:"packages"`          // npm packages that were installed for the build, sorted
	Commits  []Git     `json:"commits,omitempty"` // packages of Elm that were, sorted by name
	Host     []File    `json:"host,omitempty"`    // files of the host that the build could see, sorted
	Report   *Sandbox  `json:"report,omitempty"`  // of the sandbox that ran the build
}

// A Git is a commit of a git repository whose files were fetched. Sum is
// dirhash's "h1:" of them, as "git archive" gives them, below the folder Name.
type Git struct {
	Name       string `json:"name"`               // what they are: elm/core@1.0.0
	Repository string `json:"repository"`         // https://github.com/elm/core
	Commit     string `json:"commit"`             // 40 hexadecimal digits
	Sum        string `json:"sum"`                // h1:…
	Tag        string `json:"tag,omitempty"`      // that was found to be at Commit
	SignedBy   string `json:"signedBy,omitempty"` // whose signature of Tag was verified: openpgp:FINGERPRINT or ssh:SHA256:…
}

// Address is where the commit is had, as SPDX 2.3 (7.7) and package managers write it:
// git+https://github.com/elm/core@de38986116bd93affc1c7a12e548d1f01be9a9f1.
func (g Git) Address() string { return "git+" + g.Repository + "@" + g.Commit }

// A Package is an npm package with its integrity in the form of the
// Subresource Integrity specification ("sha512-" and base64).
type Package struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"`
}

// Embedded is work of others that is in the bytes of a binary and is no Go
// module: code and style that a bundler put into a web interface, a font, a
// script that lies in the source.
type Embedded struct {
	PURL      string   `json:"purl"` // pkg:npm/%40mantine/core@9.5.0
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Integrity string   `json:"integrity"` // of an npm package, as Package has it; else empty
	Evidence  Evidence `json:"evidence"`
	Note      string   `json:"note"`     // why it is said to be there, where it was not observed; else empty
	Files     []string `json:"files"`    // that hold it, below the root of the module In; sorted, empty where a bundler spread it
	In        string   `json:"in"`       // path of the Go module through which it came into the binary
	Requires  []string `json:"requires"` // purls of what it imports, of those embedded; sorted
}

// Evidence is how it is known that something is embedded.
type Evidence string

// The kinds of evidence, the strongest first.
const (
	ByBundler  Evidence = "bundler"   // the bundler named it as a source of what it wrote
	ByCompiler Evidence = "compiler"  // definitions of it are in what the compiler wrote
	ByIdentity Evidence = "identical" // a file of it is in the source, byte for byte
	Stated     Evidence = "stated"    // the recipe says so, for the reason in Note
)

// A Tool is a toolchain that ran. Hash is what pins it: an "h1:" for a Go
// module, a Subresource Integrity string for an npm package.
type Tool struct {
	Name    string `json:"name"`    // go, node, pnpm
	Version string `json:"version"` // 1.26.8
	Package string `json:"package"` // golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64
	Hash    string `json:"hash"`
	// Zip is the digest of the zip file that held a Go toolchain.
	Zip *Digest `json:"zip,omitempty"`
}

// Invocation is how the compiler was run.
type Invocation struct {
	Args    []string `json:"args"`
	Env     []string `json:"env"` // all of it, sorted
	Sandbox Sandbox  `json:"sandbox"`
}

// MaxWorker bounds what a worker calls itself, in bytes.
const MaxWorker = 128

// Sandbox is what the sandbox says of itself. Where an executor ran the
// command on another machine, nobody looked at it from inside: Hermetic is then
// what was asked of the executor, and what it promises.
type Sandbox struct {
	Hermetic   bool     `json:"hermetic"`
	Reason     string   `json:"reason,omitempty"`     // why it was not
	Namespaces []string `json:"namespaces,omitempty"` // that it ran in, sorted
	Executor   string   `json:"executor,omitempty"`   // that ran the command; none for the sandbox of the machine that built
	Worker     string   `json:"worker,omitempty"`     // of the executor, as it calls itself
}

// A Binary is an executable and what its own build info says.
type Binary struct {
	Name      string    `json:"name"` // file name
	Size      int64     `json:"size"`
	Digest    Digest    `json:"digest"`
	GoVersion string    `json:"goVersion"`
	Package   string    `json:"package"`  // import path of its main package
	Main      Module    `json:"main"`     // the module of that package
	Modules   []Module  `json:"modules"`  // everything else linked, sorted by path
	Settings  []Setting `json:"settings"` // sorted by key
}

// A Setting is one build setting of debug/buildinfo.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// A File is a regular file: a slash-separated path, permission bits in octal,
// length in bytes and digest.
type File struct {
	Name   string `json:"name"`
	Mode   string `json:"mode,omitempty"` // "0755"
	Size   int64  `json:"size"`
	Digest Digest `json:"digest"`
}

// A Stage is how long a stage of the pipeline took, and whether its result
// was already there.
type Stage struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Cached  bool    `json:"cached"`
}

// ParseManifest reads a manifest of at most MaxManifestSize bytes. Another
// schema, an unknown field, anything behind the value, a name that is not a
// plain file name, a name twice or out of order, and any other form than the
// one that Encode writes, byte for byte, is an error.
func ParseManifest(r io.Reader) (*Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxManifestSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxManifestSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrManifest, MaxManifestSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var m Manifest
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its value", ErrManifest)
	}
	// The decoder forgives what a reader would not see: a key twice, in other
	// capitals, null for a list. Only the one form that Encode writes is read.
	form, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(form, data) {
		return nil, fmt.Errorf("%w: not in the form that it is written in (order of keys, indentation, a key twice or null)", ErrManifest)
	}
	return &m, nil
}

// Encode writes m in the one form that it has, having checked it as
// ParseManifest does.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(filled(*m)); err != nil {
		return nil, fmt.Errorf("%w: encoding: %w", ErrManifest, err)
	}
	if buf.Len() > MaxManifestSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrManifest, MaxManifestSize)
	}
	return buf.Bytes(), nil
}

func (m *Manifest) validate() error {
	if m.Schema != ManifestSchema {
		return fmt.Errorf("%w: schema %q, want %q", ErrManifest, m.Schema, ManifestSchema)
	}
	for i, r := range m.Artifacts {
		if !plainName(r.Name) {
			return fmt.Errorf("%w: artifact name %q is not a plain file name", ErrManifest, r.Name)
		}
		if i > 0 && m.Artifacts[i-1].Name >= r.Name {
			return fmt.Errorf("%w: artifact %q is there twice or out of order", ErrManifest, r.Name)
		}
		if r.Digest.IsZero() || r.Component == "" || r.Variant == "" || r.Source.Sum == "" {
			return fmt.Errorf("%w: artifact %q lacks digest, component, variant or source", ErrManifest, r.Name)
		}
	}
	return m.validateImages()
}

func plainName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\\\x00")
}

// Sort brings m into the order that Encode demands.
func (m *Manifest) Sort() {
	slices.SortFunc(m.Artifacts, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(m.Images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
}
