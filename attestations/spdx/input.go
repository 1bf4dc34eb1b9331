package spdx

import "palisade/attestations/artifact"

// An Input is all that a document is made of: what was observed, in the words
// of release.json, and what release.json has no room for.
type Input struct {
	Publisher Publisher
	Component Component
	Record    artifact.Record    // of the artifact; its Documents and Timing are not looked at
	Artifact  Hashes             // of the artifact
	Members   map[string]Member  // of the artifact, by name as Record.Members has it
	Patches   map[string]Hashes  // by name as Record.Patched has it
	Added     map[string]Hashes  // files of the web interface, by name as Added of Record.Patched has it
	Links     []Links            // of every binary
	Packages  map[string]Package // by package URL, see there
}

// A Publisher is who makes the distribution and answers for its documents.
type Publisher struct {
	Name         string // "Palisade"
	Distribution string // "palisade": the namespace of its package URLs
	Namespace    string // an https address, without a slash at its end
	Licence      string // of what is his own, an SPDX licence expression
}

// A Component is what upstream is known as.
type Component struct {
	Description, Homepage, Originator string
	CPE                               string // cpe:2.3:a:vendor:product, without a version
}

// Hashes are a file's, beside the SHA-256 that the record has: lower-case
// hexadecimal digits.
type Hashes struct{ SHA1, SHA512 string }

// A Member is a file of the artifact. The hashes of a binary are also those of
// the loose one: the record has one digest for both.
type Member struct {
	Hashes
	Whose     Whose
	Copyright []string // notices in a file that is Own; none means that it holds none
}

// Whose says where a member comes from, and so under which licence it is.
type Whose string

// Where members come from.
const (
	Compiled Whose = "compiled" // a binary: under the licences of all that is in it
	Own      Whose = "own"      // the publisher's: under his licence
	Upstream Whose = "upstream" // a file of upstream's module: under that module's licence
	Texts    Whose = "texts"    // the texts of the licences of all binaries
)

// Links says how the modules of one binary hang together.
type Links struct {
	Binary  string
	Modules []Link // one for every module that is linked, the main module and Std among them
}

// A Link is a module as it is linked into a binary.
type Link struct {
	Module   string   // its path as build info has it, replaced or not; Std for the standard library
	Packages []string // import paths that are linked
	Requires []string // paths of the modules whose packages these import
}

// Std names the standard library among modules.
const Std = "std"

// A Package is what was read in the source of a package. A document needs that
// of every Go module that was compiled (GoPURL), as upstream made it and, where
// it was changed, as it was compiled; of the module that held a web interface
// or its source; of the standard library (StdPURL); of every toolchain
// (ToolPURL); and of everything embedded (Embedded.PURL). Others are not
// looked at.
type Package struct {
	Licence   string      // SPDX licence expression, concluded from the texts
	Declared  string      // what its own metadata says, where it has any (npm)
	Stated    string      // why, where the recipe states the licence and no classifier told it
	Copyright []string    // lines; none means that the source holds none
	Supplier  string      // "Person: …" or "Organization: …", where its metadata names one (npm)
	Homepage  string      // where its metadata names one
	SHA256    string      // of the zip file or tarball, hexadecimal; may be empty where the record has it
	SHA512    string      // likewise; may be empty where an npm integrity says it
	Extracted []Extracted // of every LicenseRef- in Licence
}

// Extracted is a licence that the SPDX list does not have.
type Extracted struct{ ID, Name, Text string }
