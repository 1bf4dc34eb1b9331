// Package licences guarantees that the licence of everything in a binary is
// told from texts in its verified source, or stated by a recipe with a reason,
// and that those texts can be passed on. It refuses, with ErrUnknown, a package
// that has no text, one with a text that it cannot tell, and one whose
// metadata contradicts its texts; and, with ErrStatement, a recipe that states
// what is told anyway. It guesses nothing.
//
// # Which files count
//
// Licence files are LICENSE, LICENCE, UNLICENSE and COPYING with any ending
// and anything before or behind (LICENSE-MIT, jquery-license), MIT.txt and
// such, and all that lies in a folder of that name. Notices are NOTICE,
// PATENTS, COPYRIGHT (where it holds no licence), CopyrightNotice and
// ThirdParty files; AUTHORS and CONTRIBUTORS are ones where a licence beside
// them refers to them. Code and data are neither, whatever they are called. A
// file speaks for its folder and those below; a folder of licences for the one
// above it. So Found.For keeps what lies in the folders of the packages that
// are linked and in those above: the licence of a test or of another command
// is not ours.
//
// # When a text is told
//
// google/licensecheck matches whole texts, with copyright lines and the gaps
// that a licence has. A file is told where what lies outside the matches is a
// title or a few words about which files are meant: at most maxRest words, and
// none that could grant, demand or limit anything (see bargain). A share of
// the file would be no measure: "for non-commercial use only" is four words.
// A licence by address alone is none. A notice need not be told, but whole
// licences in it count. A source file whose SPDX-License-Identifier asks for a
// licence that no text above it is, makes the package one that cannot be told.
// A grant of patents beside a licence (PATENTS) takes
// nothing away: it is passed on, and is no part of the expression. Licences
// that the SPDX list lacks are not told.
//
// # What is concluded
//
// All that is found holds: the licences of all files are joined by AND, even
// where a file says that one may choose. Only a publisher can say OR: in
// package.json, if it names exactly the licences that the texts are, or the
// recipe does. Otherwise package.json has to agree with the texts.
//
// An npm package without licence file has its README's section on the licence
// read in its place. Where that is no licence either, the SPDX expression that
// package.json declares is the publisher's own word: it is concluded if this
// package holds the standard text of each licence in it (folder standard),
// which is then passed on with what package.json says of the author. Nothing
// else is taken from metadata.
//
// # How texts are passed on
//
// Word for word. Changed are the encoding (to UTF-8: from UTF-16 by its mark,
// and what is neither is taken as ISO 8859-1), line ends (to \n, without blanks before
// them), and empty lines at both ends; control characters other than \n and
// \t, which a terminal would obey, are left out.
package licences

import "errors"

var (
	// ErrUnknown is wrapped where a licence is neither told nor stated.
	ErrUnknown = errors.New("licence is not known")
	// ErrStatement is wrapped where a recipe's statement is of no use.
	ErrStatement = errors.New("licence statement does not hold")
	// ErrSource is wrapped where a package cannot be read as what it is.
	ErrSource = errors.New("unreadable package")
)

// Found is what the source of a package says of its licence. Its zero value is
// a package of which no source is at hand.
type Found struct {
	Expression string   `json:"expression"` // of all texts together, SPDX; "" where there is none or one cannot be told
	Unknown    []string `json:"unknown"`    // files that the classifier cannot tell, or whose tag asks for more than there is, sorted
	Texts      []Text   `json:"texts"`      // licence and notice files, sorted by name
	Copyright  []string `json:"copyright"`  // lines, each once, sorted
	Declared   string   `json:"declared"`   // of package.json, as it stands there
	Author     string   `json:"author"`     // of package.json, as SPDX names people: "Person: …" or "Organization: …"
	Homepage   string   `json:"homepage"`   // of package.json, or its repository: an http or https address
	SHA256     string   `json:"sha256"`     // of the zip file or tarball, hexadecimal
	SHA512     string   `json:"sha512"`     // the same
	Heads      []Head   `json:"heads"`      // sorted by folder

	// Of what For returns: what the whole package tells, so that a statement is
	// not superfluous only because little of the package is linked.
	partial bool
	whole   string
}

// A Text is a file that a licence demands to be passed on.
type Text struct {
	Name      string   `json:"name"` // slash-separated, below the package's root; begins with "(" where it is no file
	Notice    bool     `json:"notice"`
	Told      bool     `json:"told"`      // whether Licences is all there is in it; true for a notice
	Licences  []string `json:"licences"`  // SPDX identifiers that the classifier found in it, sorted
	Copyright []string `json:"copyright"` // lines, as they come
	Digest    string   `json:"digest"`    // SHA-256 of Content, hexadecimal
	Content   string   `json:"-"`         // as the package comment says
}

// A Head is what the first lines of the source files in a folder say that the
// texts which speak for the folder do not.
type Head struct {
	Dir       string   `json:"dir"`       // below the package's root; "" is the root
	Copyright []string `json:"copyright"` // where no text names a holder; sorted
	Tags      []Tag    `json:"tags"`      // that ask for licences of which there is no text; sorted
}

// A Tag is an SPDX-License-Identifier in a source file.
type Tag struct {
	Says string `json:"says"` // as it stands there
	File string `json:"file"` // the first that says so
}

// A Subject is a package to pass judgement on.
type Subject struct {
	PURL  string
	Found Found // zero for what is only stated
}

// A Verdict is what is concluded of a package.
type Verdict struct {
	PURL          string
	Name, Version string // as people write them: github.com/foo/bar, @mantine/core
	Expression    string // SPDX, never empty
	Stated        string // the recipe's reason, "" where it was detected
	Texts         []Text // to be passed on: those found, then those of the recipe
	Copyright     []string
	Extracted     []Extracted // of every LicenseRef- in Expression, sorted by ID
	Found         Found
}

// Extracted is a licence that the SPDX list does not have.
type Extracted struct{ ID, Name, Text string }
