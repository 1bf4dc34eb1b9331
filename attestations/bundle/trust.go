package bundle

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// A Trust is who is believed, and what they have to show. The zero Trust
// believes nobody. What is not demanded is still checked where it is there and
// the trusted root can tell: a bundle is never opened on the strength of
// something false in it.
type Trust struct {
	Keys       []crypto.PublicKey // whose own signatures are believed
	Identities []Identity         // whose certificates of an authority of Root are believed

	// Root names the authorities and logs; nil if there are none, so that only
	// keys can be believed.
	Root *Root

	// A timestamp is always demanded of an identity, whose certificate lives for
	// minutes; RequireTimestamp demands one of a key as well.
	RequireTimestamp bool
	RequireLog       bool
}

// An Identity is who a certificate authority says has signed. The issuer is the
// URL of who vouched for the subject, and is always exact. The subject is
// exact, or a regular expression that has to match it whole, whether it is
// anchored or not; one of the two. A certificate of a CI has the workflow's file for
// its subject, also where another repository calls that: so the source repository is
// a part of whom it names.
type Identity struct {
	Issuer         string
	Subject        string
	SubjectPattern string
	Repository     string // exact, as RepositoryIn has it; NoRepository of a person
}

// Nobody are subjects that no authority gives to anybody, for the domain is
// reserved (RFC 6761): a pattern that matches one matches everybody.
var Nobody = []string{"", "\U0010fffd", "nobody@nobody.invalid", "https://nobody.invalid/"}

// Validate refuses an identity that is not complete, or that is everybody.
func (i Identity) Validate() error {
	if i.Issuer == "" {
		return fmt.Errorf("%w: an identity without an issuer", ErrTrust)
	}
	if (i.Subject == "") == (i.SubjectPattern == "") {
		return fmt.Errorf("%w: an identity of %s needs either a subject or a pattern of subjects", ErrTrust, i.Issuer)
	}
	if i.Repository == "" {
		return fmt.Errorf("%w: an identity of %s without its source repository, or the word %s", ErrTrust, i.Issuer, NoRepository)
	}
	if i.SubjectPattern == "" {
		return nil
	}
	pattern, err := i.pattern()
	if err != nil {
		return fmt.Errorf("%w: pattern %q of the subjects of %s: %w", ErrTrust, i.SubjectPattern, i.Issuer, err)
	}
	if slices.ContainsFunc(Nobody, pattern.MatchString) {
		return fmt.Errorf("%w: pattern %q of the subjects of %s is everybody: name whom you trust", ErrTrust, i.SubjectPattern, i.Issuer)
	}
	return nil
}

// pattern is anchored from outside, so that neither an alternative nor a flag
// inside of it reaches beyond the whole.
func (i Identity) pattern() (*regexp.Regexp, error) {
	if _, err := regexp.Compile(i.SubjectPattern); err != nil {
		return nil, err // a parenthesis too many must not close ours
	}
	return regexp.Compile(`\A(?:` + i.SubjectPattern + `)\z`)
}

// Names reports whether i is who s is, as far as s tells: of which repository a
// certificate was, opening a bundle has held. No identity is a key.
func (i Identity) Names(s Signer) bool {
	return s.KeyID == "" && s.Issuer != "" && s.Subject != "" && i.Issuer == s.Issuer && i.matches(s.Subject)
}

func (i Identity) matches(subject string) bool {
	if i.SubjectPattern == "" {
		return subject == i.Subject
	}
	pattern, err := i.pattern()
	return err == nil && pattern.MatchString(subject)
}

// Validate refuses a trust under which nothing could be opened, or that demands
// what nobody could show. Opening a bundle does so first.
func (t Trust) Validate() error {
	if len(t.Keys) == 0 && len(t.Identities) == 0 {
		return fmt.Errorf("%w: it names neither a key nor an identity", ErrTrust)
	}
	for _, k := range t.Keys {
		if _, err := KeyID(k); err != nil {
			return fmt.Errorf("%w: %w", ErrTrust, err)
		}
	}
	for _, i := range t.Identities {
		if err := i.Validate(); err != nil {
			return err
		}
	}
	switch {
	case len(t.Identities) > 0 && (t.Root == nil || len(t.Root.authorities) == 0):
		return fmt.Errorf("%w: it names identities, and the trusted root no authority that could vouch for them", ErrTrust)
	case (len(t.Identities) > 0 || t.RequireTimestamp) && (t.Root == nil || len(t.Root.timestamps) == 0):
		return fmt.Errorf("%w: it needs timestamps, and the trusted root names no authority for them", ErrTrust)
	case t.RequireLog && (t.Root == nil || len(t.Root.logs) == 0):
		return fmt.Errorf("%w: it demands a transparency log, and the trusted root names none", ErrTrust)
	}
	return nil
}

// identify is the identity that a certificate speaks of, if it is trusted. That
// the certificate is genuine is yet to be shown.
func (t Trust) identify(cert *x509.Certificate) (Signer, error) {
	signer, err := Identify(cert)
	if err != nil {
		return Signer{}, err
	}
	repository, err := RepositoryIn(cert)
	if err != nil {
		return Signer{}, err
	}
	refusal, of := ErrWrongIssuer, ""
	for _, i := range t.Identities {
		if i.Issuer != signer.Issuer {
			continue
		}
		switch {
		case !i.matches(signer.Subject):
			if of == "" {
				refusal = ErrWrongSubject
			}
		case i.Repository != repository:
			refusal, of = ErrWrongRepository, fmt.Sprintf(", of repository %q", repository)
		default:
			return signer, nil
		}
	}
	// Anybody can have written these: they are shown as what they are.
	return Signer{}, fmt.Errorf("%w: %q of %q%s", refusal, signer.Subject, signer.Issuer, of)
}

// Identify reads the identity in a certificate, trusted or not: its one URI or
// e-mail address, and the issuer that Fulcio wrote beside it.
func Identify(cert *x509.Certificate) (Signer, error) {
	extensions, err := certificate.ParseExtensions(cert.Extensions)
	if err == nil {
		err = checkIdentity(cert, extensions.Issuer)
	}
	if err != nil {
		return Signer{}, fmt.Errorf("%w: reading the identity in the certificate: %w", ErrMalformed, err)
	}
	var subjects []string
	for _, uri := range cert.URIs {
		subjects = append(subjects, uri.String())
	}
	subjects = append(subjects, cert.EmailAddresses...)
	if len(subjects) != 1 || subjects[0] == "" || len(cert.DNSNames)+len(cert.IPAddresses) > 0 {
		return Signer{}, fmt.Errorf("%w: the certificate names %q as its subjects, want one URI or e-mail address", ErrMalformed, subjects)
	}
	return Signer{Issuer: extensions.Issuer, Subject: subjects[0]}, nil
}

// subjectNames is the extension of a certificate that holds the names of its
// subject (RFC 5280 section 4.2.1.6).
var subjectNames = asn1.ObjectIdentifier{2, 5, 29, 17}

// checkIdentity refuses what a reader of the certificate can overlook: that the
// issuer is there in both of Fulcio's forms, and they differ; and a name of a
// kind that package x509 leaves out.
func checkIdentity(cert *x509.Certificate, issuer string) error {
	if issuer == "" {
		return errors.New("it names no issuer")
	}
	for _, e := range cert.Extensions {
		also, names := issuer, []asn1.RawValue{{}}
		var err error
		switch {
		case e.Id.Equal(certificate.OIDIssuer): //nolint:staticcheck // Fulcio writes it still
			also = string(e.Value)
		case e.Id.Equal(certificate.OIDIssuerV2):
			err = certificate.ParseDERString(e.Value, &also)
		case e.Id.Equal(subjectNames):
			_, err = asn1.Unmarshal(e.Value, &names)
		}
		switch {
		case err != nil:
			return err
		case also != issuer:
			return fmt.Errorf("it names two issuers, %q and %q", also, issuer)
		case len(names) != 1:
			return fmt.Errorf("it names %d subjects, want one", len(names))
		}
	}
	return nil
}
