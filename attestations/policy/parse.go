package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"palisade/attestations/artifact"
)

// Parse reads a policy. Every refusal wraps ErrPolicy and names the line.
func Parse(data []byte) (Policy, error) {
	root, err := document(data)
	if err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	var r reader
	made := r.rules(root)
	if r.err != nil {
		return Policy{}, fmt.Errorf("%w: %w", ErrPolicy, r.err)
	}
	return Policy{rules: made, digest: artifact.DigestBytes(data)}, nil
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9\-]*$`)

func (r *reader) rules(root *yaml.Node) *rules {
	f := r.fields(root, "format", "name", "signers", "transparency-log", "timestamp", "maximum-age", "attestations",
		"rebuilders", "builders", "build-types", "hermetic", "clean-tree", "workflow", "vulnerabilities", "vulnerability-data", "freshness", "build-level", "accept")
	if r.err != nil {
		return nil
	}
	p := &rules{
		name: r.word(f["name"]), signers: r.signers(f["signers"]), maximumAge: r.age(f["maximum-age"]),
		builders: r.words(f["builders"], r.address), buildTypes: r.words(f["build-types"], r.address),
		hermetic: r.hermeticity(f["hermetic"]), cleanTree: r.required(f["clean-tree"]),
		workflow: r.required(f["workflow"]), vulnerable: r.either(f["vulnerabilities"], "none-reachable", "any") == "any", dataAge: r.age(f["vulnerability-data"]),
		fresh: r.required(f["freshness"]), level: r.level(f["build-level"]),
	}
	r.either(f["format"], Format)
	if !nameForm.MatchString(p.name) {
		r.fail(f["name"], "a name is lower-case letters, digits and -")
	}
	p.signers.Log, p.signers.Timestamp = r.required(f["transparency-log"]), r.required(f["timestamp"])
	p.rebuilders = r.rebuilders(f["rebuilders"], p.signers)
	if p.maximumAge > 0 && !p.signers.Timestamp {
		r.fail(f["maximum-age"], "an age cannot be told: require a timestamp; a log of today's kind says nothing of time")
	}
	for _, a := range r.words(f["attestations"], func(n *yaml.Node) string {
		return r.either(n, string(SPDX), string(Provenance), string(TestResult), string(VEX))
	}) {
		p.attestations = append(p.attestations, Attestation(a))
	}
	if !slices.Contains(p.attestations, Provenance) {
		r.fail(f["attestations"], "provenance must be among them: nothing else could be judged without it")
	}
	if !p.vulnerable && !slices.Contains(p.attestations, VEX) {
		r.fail(f["vulnerabilities"], "none-reachable needs vex among the attestations")
	}
	if p.vulnerable && p.dataAge > 0 {
		r.fail(f["vulnerability-data"], "an age is demanded of what is not looked at: say unlimited, or vulnerabilities: none-reachable")
	}
	if p.workflow && len(p.signers.Identities) == 0 {
		r.fail(f["workflow"], "only a certificate names a workflow: name an identity that may sign")
	}
	r.list(f["accept"], func(n *yaml.Node) {
		a := r.acceptance(n)
		if slices.ContainsFunc(p.accept, func(b acceptance) bool { return a.component == b.component && a.variant == b.variant }) {
			r.fail(n, "component %s, variant %s is there twice", a.component, a.variant)
		}
		if a.audit == "passed" && !slices.Contains(p.attestations, TestResult) {
			r.fail(n, "audit: passed needs test-result among the attestations")
		}
		p.accept = append(p.accept, a)
	})
	return p
}

// age is a duration, 0 for unlimited.
func (r *reader) age(n *yaml.Node) time.Duration {
	w := r.word(n)
	if w == "unlimited" {
		return 0
	}
	d, err := time.ParseDuration(w)
	if err != nil || d < time.Hour {
		r.fail(n, "%.60q is neither unlimited nor an hour or more, as 720h", w)
	}
	return d
}

// level is a level of SLSA's build track.
func (r *reader) level(n *yaml.Node) int {
	return map[string]int{"1": 1, "2": 2, "3": 3}[r.either(n, "1", "2", "3")]
}

var addressForm = regexp.MustCompile(`^[a-z][a-z0-9+.\-]*:[!-~]+$`)

// address is a URI.
func (r *reader) address(n *yaml.Node) string {
	w := r.word(n)
	if r.err == nil && !addressForm.MatchString(w) {
		r.fail(n, "%.100q is no URI", w)
	}
	return w
}

func (r *reader) signers(n *yaml.Node) (s Signers) {
	f := r.fields(n, "keys", "identities")
	if r.err != nil {
		return s
	}
	s = r.named(f["keys"], f["identities"])
	if !s.Given && len(s.Keys) == 0 && len(s.Identities) == 0 {
		r.fail(n, "nobody may sign: name a key or an identity")
	}
	return s
}

// named are the keys and the identities, each there once.
func (r *reader) named(keys, identities *yaml.Node) (s Signers) {
	if !isWord(keys, "none") {
		r.words(keys, func(n *yaml.Node) string {
			w := r.word(n)
			if w == "given" {
				s.Given = true
				return w
			}
			key, err := publicKey(w)
			if err != nil {
				r.fail(n, "%v", err)
			} else if slices.ContainsFunc(s.Keys, func(k crypto.PublicKey) bool { return sameKey(k, key) }) {
				r.fail(n, "the key is there twice")
			}
			s.Keys = append(s.Keys, key)
			return w
		})
	}
	if !isWord(identities, "none") {
		r.list(identities, func(n *yaml.Node) {
			i := r.identity(n)
			if slices.Contains(s.Identities, i) {
				r.fail(n, "the identity is there twice")
			}
			s.Identities = append(s.Identities, i)
		})
	}
	return s
}

// publicKey is the one key in a PEM block, of a kind and size worth trusting.
func publicKey(text string) (crypto.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("a key is the word given, or one PEM block PUBLIC KEY as in cosign.pub")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	// What package bundle opens signatures of.
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return key, nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n == 2048 || n == 3072 || n == 4096 {
			return key, nil
		}
	}
	return nil, errors.New("a key is ECDSA of P-256, or RSA of 2048, 3072 or 4096 bits")
}

func (r *reader) identity(n *yaml.Node) (i Identity) {
	f := r.fields(n, "issuer", "subject?", "subject-pattern?", "repository")
	if r.err != nil {
		return i
	}
	i.Issuer = r.address(f["issuer"])
	i.Repository = r.repository(f["repository"])
	subject, pattern := f["subject"], f["subject-pattern"]
	switch {
	case (subject == nil) == (pattern == nil):
		r.fail(n, "either subject or subject-pattern is wanted")
	case subject != nil:
		i.Subject = r.word(subject)
	default:
		i.Pattern = r.word(pattern)
		if err := checkPattern(i.Pattern); err != nil {
			r.fail(pattern, "%v", err)
		}
	}
	return i
}

func (r *reader) acceptance(n *yaml.Node) (a acceptance) {
	f := r.fields(n, "component", "variant", "module", "minimum-upstream", "minimum-version", "patches", "audit", "checks")
	if r.err != nil {
		return a
	}
	a = acceptance{
		component: r.word(f["component"]), variant: r.word(f["variant"]), module: r.word(f["module"]),
		minimumUpstream: r.word(f["minimum-upstream"]), minimumVersion: r.word(f["minimum-version"]),
		audit: r.either(f["audit"], "passed", "passed-if-run", "any-verdict"),
	}
	if checks := r.word(f["checks"]); checks != "any" {
		var err error
		if a.checks, err = artifact.ParseDigest(checks); err != nil {
			r.fail(f["checks"], "%.80q is neither any nor a digest: %v", checks, err)
		}
	}
	if err := module.CheckPath(a.module); err != nil {
		r.fail(f["module"], "%v", err)
	}
	if a.minimumUpstream == "any" {
		a.minimumUpstream = ""
	} else if !semver.IsValid(a.minimumUpstream) || semver.Canonical(a.minimumUpstream) != a.minimumUpstream {
		r.fail(f["minimum-upstream"], "%.60q is neither any nor a module version, as v0.315.0", a.minimumUpstream)
	}
	if a.minimumVersion == "any" {
		a.minimumVersion = ""
	} else if v := "v" + a.minimumVersion; !semver.IsValid(v) || semver.Canonical(v) != v {
		r.fail(f["minimum-version"], "%.60q is neither any nor a version of the distribution, as 3.15.0-palisade.1", a.minimumVersion)
	}
	if f["patches"].Kind != yaml.SequenceNode {
		a.patches = r.either(f["patches"], "none", "some", "any")
		return a
	}
	r.list(f["patches"], func(n *yaml.Node) {
		s := r.series(n)
		if slices.ContainsFunc(a.series, func(t Series) bool { return s.Module == t.Module }) {
			r.fail(n, "module %s is there twice", s.Module)
		}
		a.series = append(a.series, s)
	})
	return a
}

func (r *reader) series(n *yaml.Node) (s Series) {
	f := r.fields(n, "module", "version", "digest")
	if r.err != nil {
		return s
	}
	s.Module, s.Version = r.word(f["module"]), r.word(f["version"])
	if err := module.Check(s.Module, s.Version); err != nil {
		r.fail(n, "%v", err)
	}
	var err error
	if s.Digest, err = artifact.ParseDigest(r.word(f["digest"])); err != nil {
		r.fail(f["digest"], "%v", err)
	}
	return s
}
