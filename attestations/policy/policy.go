// Package policy says what a consumer demands of a release, and guarantees
// that nothing is accepted that a policy does not accept in so many words.
//
// It refuses, with ErrPolicy, a policy that leaves a field out, leaves it
// empty, holds one that is not known, or demands what cannot be told. Where
// something is not to be demanded, the policy says so with a word that is
// documented here. The zero Policy accepts nothing.
//
// # Format
//
// One YAML document of at most MaxSize bytes, without aliases, tags, null and
// keys given twice. Every field is needed:
//
//	format: palisade.policy.v1
//	name: release                # for people; lower-case letters, digits, "-"
//	signers:                     # who may have signed; at least one
//	  keys: none                 # or a list: public keys in PEM, and the word
//	                             # given, for those that the verifier was handed
//	  identities:                # none, or a list, of certificates
//	    - issuer: https://…      # of the token; exact
//	      subject: https://…     # exact, or
//	      subject-pattern: ^…$   # in place of it, see Pattern
//	      repository: https://…  # exact, or none: see Source repositories
//	transparency-log: required   # or not-required
//	timestamp: required          # or not-required: a signed time of signing
//	maximum-age: 8760h           # of every signature and attestation, or unlimited; needs a timestamp
//	attestations:                # that every artifact must have, beside its signature
//	  - spdx                     # what is there though not named is checked all the same
//	  - provenance               # always needed: the rest is judged by it
//	  - test-result
//	  - vex
//	rebuilders: not-required     # or who must have built it again: see Rebuilders
//	builders: [https://…]        # builder.id; exact
//	build-types: [https://…]     # buildType; exact
//	hermetic: required           # or promised, or not-required: see Hermetic builds
//	clean-tree: required         # or not-required: the checkout built from was as committed
//	workflow: required           # or not-required: see Workflows
//	vulnerabilities: none-reachable # or any: see Vulnerabilities
//	vulnerability-data: 720h     # how old what is known of them may be, or unlimited
//	freshness: required          # or not-required: see Freshness
//	build-level: 1               # or 2, or 3: see Build levels
//	accept:                      # an artifact that fits none is refused
//	  - component: prometheus
//	    variant: hardened
//	    module: github.com/prometheus/prometheus   # upstream's
//	    minimum-upstream: v0.315.0                 # of that module, or any
//	    minimum-version: 3.15.0-palisade.1         # of the distribution, or any
//	    patches: some            # see Patches
//	    audit: passed            # passed; passed-if-run; any-verdict: see Audits
//	    checks: any              # or the digest of the checks that it was of
//
// # Pattern
//
// A subject pattern is a regular expression of package regexp, from ^ to $,
// that must match the whole subject. What matches any character (. in all its
// uses, classes that are negated, and (?i), which folds beyond ASCII) is refused,
// for with it a longer or other name of somebody else's would match: write
// [a-z0-9]+ and \. instead.
//
// # Source repositories
//
// The subject of a CI's certificate is the file of the workflow that ran, with its
// ref: one that any repository may call has the same subject whoever calls it. So
// each identity also names the source repository, by the https address that
// the certificate has in its extension 1.3.6.1.4.1.57264.1.12, exactly: no / is
// added to it or taken away. With none the certificate names no repository, as a
// person's does not. There is no word for any repository: write an identity for each.
//
// # Patches
//
// The field patches is a list of series, of which each must have been applied
// to its module, and no other; or none: nothing was patched; some: at least
// one patch was; any: it is not looked at.
//
//	patches:
//	  - module: github.com/prometheus/exporter-toolkit
//	    version: v0.20.0         # that it was applied to
//	    digest: sha256:…
//
// The digest of a series is SeriesDigest, in the folder patches/
//
//	sha256sum exporter-toolkit/v0.20.0/0001-….patch … | sha256sum
//
// with the patches in the order in which they were applied.
//
// # Rebuilders
//
// The field rebuilders says who is believed of having built an artifact again
// with the same result, and how many of them must have:
//
//	rebuilders:
//	  count: 2                   # one at least, and no more than are named
//	  keys: […]                  # as those of signers, or none; given is none
//	  identities: none           # as those of signers, or a list
//
// Each key and each identity is one rebuilder and counts once, however many
// attestations there are by it, and however many subjects a pattern matches. Those
// who may be one and the same count once together: a key and an identity whose
// certificate holds it; two identities with the same subject, whoever vouches for
// it, or of which one names the other's subject; and two keys or identities that one
// signature, key or subject is seen under. That two of them belong to one person who
// hides it no signature shows: name those whom you know to be independent.
// Who signed the release counts if he is named here. Age, log and timestamp are
// demanded of their attestations as of all others.
//
// # Hermetic builds
//
// With required everything that was compiled or built was seen by the builder to
// be cut off, in a sandbox of its own machine. A worker elsewhere that an executor
// such as BuildKit ran it on was asked for the same, and nobody looked; and of a
// result that came out of a cache in a registry another machine says so. Either is
// accepted with promised, and whoever controls the worker, or is believed to fill
// the cache, is then believed as the builder is. With not-required nothing is
// looked at.
//
// # Workflows
//
// With required the provenance names the workflow run that vouches for it, and the
// certificate that it is signed with says the same of that run: who cannot have
// that certificate cannot have said it. Where provenance names a workflow it is
// held against the certificate, whatever the policy says.
//
// # Vulnerabilities
//
// With none-reachable every artifact has a signed OpenVEX document, by which no
// vulnerability that is known of what it links is left open: none is said to affect
// it, and none is still looked into. It was made of data that is no older than
// vulnerability-data. With any nothing is looked at but that such a document, where
// there is one, is signed and about this artifact.
//
// # Freshness
//
// With required the release is in the index of releases that the publisher signs
// anew from time to time, which has not expired; it was not withdrawn; and it is
// the newest, unless another one is asked for by its version.
//
// # Build levels
//
// The level of SLSA's build track that a summary of a verification tells of what
// passed. No signature shows that those who ask a builder for a build cannot reach
// into it: a level above 1 is the word of whoever writes the policy for all builders
// that it names.
//
// # Audits
//
// With passed there must be a test result, which says so. passed-if-run refuses
// a test result that does not, and any-verdict looks at none; neither is a
// defence against somebody who takes a bad result away. Where checks has a
// digest, a result that counts is of exactly these checks, and none of them was
// skipped; the predicate test-result says what it is a digest of.
package policy

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
)

// Format is the format that this package reads.
const Format = "palisade.policy.v1"

// MaxSize bounds a policy, in bytes.
const MaxSize = 1 << 20

// ErrPolicy is what every refusal of a policy itself wraps.
var ErrPolicy = errors.New("malformed policy")

// What a policy refuses, one error for each demand.
var (
	ErrBuilder   = errors.New("built by a builder that the policy does not accept")
	ErrBuildType = errors.New("of a build type that the policy does not accept")
	ErrHermetic  = errors.New("not built as hermetically as the policy demands")
	ErrCleanTree = errors.New("built from a checkout with changes that are in no commit")
	ErrArtifact  = errors.New("component and variant are not accepted by the policy")
	ErrUpstream  = errors.New("made from an upstream module that the policy does not accept")
	ErrOutdated  = errors.New("older than the policy's minimum")
	ErrPatches   = errors.New("patches are not those that the policy demands")
	ErrNoAudit   = errors.New("no audit was run")
	ErrAudit     = errors.New("the audit did not pass")
	ErrTooOld    = errors.New("signed longer ago than the policy's maximum age")
	ErrNoTime    = errors.New("nothing trusted tells when it was signed")
	ErrClock     = errors.New("signed later than it is by this machine's clock")

	ErrRebuilders = errors.New("fewer rebuilders than the policy demands")
)

// A Policy is what one policy file demands. Only Parse makes one that accepts
// anything.
type Policy struct {
	rules  *rules // never changed
	digest artifact.Digest
}

type rules struct {
	name         string
	signers      Signers
	maximumAge   time.Duration // 0: unlimited
	attestations []Attestation
	rebuilders   Rebuilders
	builders     []string
	buildTypes   []string
	hermetic     Hermeticity
	cleanTree    bool
	workflow     bool
	vulnerable   bool          // artifacts may be
	dataAge      time.Duration // 0: unlimited
	fresh        bool
	level        int
	accept       []acceptance
}

type acceptance struct {
	component, variant, module string
	minimumUpstream            string // "" for any
	minimumVersion             string // "" for any
	patches                    string // none, some, any, or "" for exactly series
	series                     []Series
	audit                      string
	checks                     artifact.Digest // zero for any
}

// An Attestation is a kind of statement about an artifact.
type Attestation string

// The kinds of attestation.
const (
	SPDX       Attestation = "spdx"
	Provenance Attestation = "provenance"
	TestResult Attestation = "test-result"
	VEX        Attestation = "vex"
)

// Signers are those whose signature a policy accepts, and what must vouch for
// the time of it.
type Signers struct {
	Given      bool               // also the keys that the verifier was handed
	Keys       []crypto.PublicKey // *ecdsa.PublicKey or *rsa.PublicKey
	Identities []Identity
	Log        bool // an entry in a transparency log is demanded
	Timestamp  bool // a signed timestamp is demanded
}

// An Identity is who a certificate may be of: Issuer exactly, and either
// Subject exactly or a subject that Pattern matches whole; and for which Repository.
type Identity struct {
	Issuer     string
	Subject    string
	Pattern    string // as the policy has it, "^…$"
	Repository string // https address, or bundle.NoRepository
}

// Trusted is i as package bundle holds a certificate against it.
func (i Identity) Trusted() bundle.Identity {
	return bundle.Identity{Issuer: i.Issuer, Subject: i.Subject, SubjectPattern: i.Pattern, Repository: i.Repository}
}

// A Claim is what the provenance of an artifact says, of all that a policy has
// demands on.
type Claim struct {
	Builder, BuildType              string
	Hermetic                        Hermeticity
	Promise                         string // whose it is, for people; only of Promised
	CleanTree                       bool
	Component, Variant, Version     string
	UpstreamModule, UpstreamVersion string
	Patched                         []Series // of every module that was patched
}

// A Series is the patches that were applied to a module's version.
type Series struct {
	Module, Version string
	Digest          artifact.Digest
}

// SeriesDigest names patches in the order in which they were applied: the
// SHA-256 of what sha256sum prints of them in the folder patches/.
func SeriesDigest(patches []artifact.PatchFile) artifact.Digest {
	var text strings.Builder
	for _, p := range patches {
		fmt.Fprintf(&text, "%s  %s\n", p.Digest.Hex(), p.Name)
	}
	return artifact.DigestBytes([]byte(text.String()))
}

// Name is the policy's own; the zero Policy has none.
func (p Policy) Name() string {
	if p.rules == nil {
		return ""
	}
	return p.rules.name
}

// Digest is that of the file; the zero Policy's is zero.
func (p Policy) Digest() artifact.Digest { return p.digest }

// URI names the file by its digest alone, wherever it lies (RFC 6920). The zero
// Policy has none.
func (p Policy) URI() string {
	raw, err := hex.DecodeString(p.digest.Hex())
	if err != nil || len(raw) == 0 {
		return ""
	}
	return "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(raw)
}

// Signers are a copy of those that p accepts.
func (p Policy) Signers() Signers {
	if p.rules == nil {
		return Signers{Log: true, Timestamp: true}
	}
	s := p.rules.signers
	s.Keys, s.Identities = slices.Clone(s.Keys), slices.Clone(s.Identities)
	return s
}

// Requires reports whether every artifact must have that attestation.
func (p Policy) Requires(a Attestation) bool {
	return p.rules == nil || slices.Contains(p.rules.attestations, a)
}

// RequiresWorkflow reports whether provenance has to name the workflow run that
// its certificate names.
func (p Policy) RequiresWorkflow() bool { return p.rules == nil || p.rules.workflow }

// RequiresFreshness reports whether a release has to be in the index of releases.
func (p Policy) RequiresFreshness() bool { return p.rules == nil || p.rules.fresh }

// BuildLevel is the level of SLSA's build track that the policy's author vouches
// for; the zero Policy's is 0.
func (p Policy) BuildLevel() int {
	if p.rules == nil {
		return 0
	}
	return p.rules.level
}
