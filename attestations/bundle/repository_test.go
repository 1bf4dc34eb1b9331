package bundle_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"palisade/attestations/bundle"
)

// A workflow that any repository may call signs with one subject for all of them:
// whose it was called for is told by the source repository alone.
func TestRepository(t *testing.T) {
	s := newStage(t)
	const ours, others = "https://example.test/palisade", "https://example.test/evil"
	identity := func(repository string) bundle.Identity {
		return bundle.Identity{Issuer: issuer, Subject: subject, Repository: repository}
	}
	anyTag := bundle.Identity{Issuer: issuer, SubjectPattern: `https://example\.test/palisade/\.ci/release\.yml@refs/tags/v[0-9]+`, Repository: ours}
	extension := func(id asn1.ObjectIdentifier, value string) pkix.Extension {
		return pkix.Extension{Id: id, Value: must(asn1.MarshalWithParams(value, "utf8"))(t)}
	}
	of := func(repositories ...string) (all []pkix.Extension) {
		all = append(all, extension(certificate.OIDIssuerV2, issuer))
		for _, r := range repositories {
			all = append(all, extension(certificate.OIDSourceRepositoryURI, r))
		}
		return all
	}
	former := pkix.Extension{Id: certificate.OIDGitHubWorkflowRepository, Value: []byte("palisade")} //nolint:staticcheck // in use
	workflow := run
	workflow.Repository = others
	for _, tt := range []struct {
		name        string
		certificate []pkix.Extension
		identities  []bundle.Identity
		want        error
	}{
		{"ours", of(ours), []bundle.Identity{identity(ours)}, nil},
		{"ours, by a pattern of subjects", of(ours), []bundle.Identity{anyTag}, nil},
		{"ours, by a whole workflow", extensions(t, run), []bundle.Identity{identity(ours)}, nil},
		{"ours, the second of two", of(ours), []bundle.Identity{identity(others), identity(ours)}, nil},
		{"another's", of(others), []bundle.Identity{identity(ours)}, bundle.ErrWrongRepository},
		{"another's, by a pattern of subjects", of(others), []bundle.Identity{anyTag}, bundle.ErrWrongRepository},
		{"another's, by a whole workflow", extensions(t, workflow)[:fieldsOfWorkflow], []bundle.Identity{identity(ours)}, bundle.ErrWrongRepository},
		{"another's, and who is named for it is somebody else", of(others), []bundle.Identity{identity(ours), {Issuer: issuer, Subject: subject + "0", Repository: others}}, bundle.ErrWrongRepository},
		{"longer than ours", of(ours + "-2"), []bundle.Identity{identity(ours)}, bundle.ErrWrongRepository},
		{"ours, with a / behind it", of(ours + "/"), []bundle.Identity{identity(ours)}, bundle.ErrWrongRepository},
		{"ours, in capitals", of(strings.ToUpper(ours)), []bundle.Identity{identity(ours)}, bundle.ErrWrongRepository},
		{"it names none", of(), []bundle.Identity{identity(ours)}, bundle.ErrWrongRepository},
		{"it names none, as it has to", of(), []bundle.Identity{identity(bundle.NoRepository)}, nil},
		{"it has to name none", of(ours), []bundle.Identity{identity(bundle.NoRepository)}, bundle.ErrWrongRepository},
		{"the word for any is none", of(ours), []bundle.Identity{identity("any")}, bundle.ErrWrongRepository},
		{"an identity that does not say", of(), []bundle.Identity{identity("")}, bundle.ErrTrust},
		{"it is called as the word for none", of(bundle.NoRepository), []bundle.Identity{identity(bundle.NoRepository)}, bundle.ErrMalformed},
		{"an empty one", of(""), []bundle.Identity{identity(bundle.NoRepository)}, bundle.ErrMalformed},
		{"one of two lines", of(ours + "\n"), []bundle.Identity{identity(ours)}, bundle.ErrMalformed},
		{"too long", of(strings.Repeat("x", 1001)), []bundle.Identity{identity(ours)}, bundle.ErrMalformed},
		{"another's, and ours", of(others, ours), []bundle.Identity{identity(ours)}, bundle.ErrMalformed},
		{"in the former form alone", append(of(), former), []bundle.Identity{identity(bundle.NoRepository)}, bundle.ErrMalformed},
		{"with more behind it", func() []pkix.Extension {
			all := of(ours)
			all[1].Value = append(all[1].Value, 0)
			return all
		}(), []bundle.Identity{identity(ours)}, bundle.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 {
				v, err := bundle.OpenAttestation(s.extended(t, tt.certificate), bundle.Trust{Identities: tt.identities, Root: s.root})
				wants(t, err, tt.want)
				if err == nil && v.Signer() != (bundle.Signer{Issuer: issuer, Subject: subject}) {
					t.Errorf("signed by %s", v.Signer())
				}
				slices.Reverse(tt.identities)
			}
		})
	}
}
