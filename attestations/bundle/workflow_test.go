package bundle_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

var run = bundle.Workflow{
	Commit: strings.Repeat("0a", 20), Config: "https://example.test/palisade/.ci/release.yml@refs/tags/v1", ConfigDigest: strings.Repeat("0a", 20),
	Issuer: issuer, Ref: "refs/tags/v1", Repository: "https://example.test/palisade", Run: "https://example.test/palisade/runs/1/attempts/1", Runner: "github-hosted",
	Signer: "https://example.test/builders/.ci/build.yml@refs/tags/v3", SignerDigest: strings.Repeat("0b", 20), Trigger: "push",
}

// extensions are those of a certificate of w, in the order of its fields, and
// then the former ones of GitHub's.
func extensions(t testing.TB, w bundle.Workflow) []pkix.Extension {
	t.Helper()
	var all []pkix.Extension
	for _, e := range []struct {
		id    asn1.ObjectIdentifier
		value string
	}{
		{certificate.OIDSourceRepositoryDigest, w.Commit}, {certificate.OIDBuildConfigURI, w.Config}, {certificate.OIDBuildConfigDigest, w.ConfigDigest},
		{certificate.OIDIssuerV2, w.Issuer}, {certificate.OIDSourceRepositoryRef, w.Ref}, {certificate.OIDSourceRepositoryURI, w.Repository},
		{certificate.OIDRunInvocationURI, w.Run}, {certificate.OIDRunnerEnvironment, w.Runner}, {certificate.OIDBuildSignerURI, w.Signer},
		{certificate.OIDBuildSignerDigest, w.SignerDigest}, {certificate.OIDBuildTrigger, w.Trigger},
	} {
		all = append(all, pkix.Extension{Id: e.id, Value: must(asn1.MarshalWithParams(e.value, "utf8"))(t)})
	}
	return append(all,
		pkix.Extension{Id: certificate.OIDGitHubWorkflowTrigger, Value: []byte(w.Trigger)},          //nolint:staticcheck // in use
		pkix.Extension{Id: certificate.OIDGitHubWorkflowSHA, Value: []byte(w.Commit)},               //nolint:staticcheck // in use
		pkix.Extension{Id: certificate.OIDGitHubWorkflowRepository, Value: []byte("palisade")},      //nolint:staticcheck // in use
		pkix.Extension{Id: certificate.OIDGitHubWorkflowRef, Value: []byte(w.Ref)},                  //nolint:staticcheck // in use
		pkix.Extension{Id: certificate.OIDGitHubWorkflowName, Value: []byte("whatever it is said")}, //nolint:staticcheck // in use
	)
}

const fieldsOfWorkflow = 11

// A certificate names a run as a whole, or none; and says one thing of it.
func TestWorkflowIn(t *testing.T) {
	if n := reflect.TypeFor[bundle.Workflow]().NumField(); n != fieldsOfWorkflow || len(extensions(t, run)) != n+5 {
		t.Fatalf("a workflow has %d fields: this test speaks of %d", n, fieldsOfWorkflow)
	}
	in := func(all []pkix.Extension) (bundle.Workflow, error) {
		return bundle.WorkflowIn(&x509.Certificate{Extensions: all})
	}
	if got, err := in(extensions(t, run)); err != nil || got != run {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := in(extensions(t, run)[:fieldsOfWorkflow]); err != nil || got != run {
		t.Errorf("without the former ones: %+v, %v", got, err)
	}
	if got, err := in(nil); err != nil || got != (bundle.Workflow{}) {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	for n := range fieldsOfWorkflow + 5 {
		all := extensions(t, run)
		id := all[n].Id
		if got, err := in(append(all, all[n])); err == nil || got != (bundle.Workflow{}) {
			t.Errorf("%s twice: %+v, %v", id, got, err)
		}
		if n >= fieldsOfWorkflow {
			if id.Equal(certificate.OIDGitHubWorkflowName) { //nolint:staticcheck // in use
				continue // which nothing is said of elsewhere
			}
			all[n].Value = []byte("x" + string(all[n].Value))
			if got, err := in(all); err == nil || got != (bundle.Workflow{}) {
				t.Errorf("%s says something else: %+v, %v", id, got, err)
			}
			continue
		}
		if got, err := in(slices.Delete(extensions(t, run), n, n+1)); err != nil || got != (bundle.Workflow{}) {
			t.Errorf("without %s: %+v, %v", id, got, err)
		}
		for _, value := range []string{"two\nlines", strings.Repeat("x", 1001)} {
			all := extensions(t, run)[:fieldsOfWorkflow]
			all[n].Value = must(asn1.MarshalWithParams(value, "utf8"))(t)
			if got, err := in(all); err == nil || got != (bundle.Workflow{}) {
				t.Errorf("%s is %.20q: %+v, %v", id, value, got, err)
			}
		}
		all = extensions(t, run)
		all[n].Value = append(all[n].Value, 0)
		if got, err := in(all); err == nil || got != (bundle.Workflow{}) {
			t.Errorf("%s with more behind it: %+v, %v", id, got, err)
		}
	}
}

// extended is an attestation whose certificate is of subject, and has these extensions.
func (s *stage) extended(t testing.TB, all []pkix.Extension) []byte {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{must(url.Parse(subject))(t)}, ExtraExtensions: all, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(9 * time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, s.parent, key.Public(), s.signer))(t)
	pb := must(signing.Make(context.Background(), content(t, true), signing.Local(key), &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: der}},
	}))(t)
	s.stamp(t, pb)
	return must(signing.Marshal(pb))(t)
}

// What an opened bundle says of a run is what its certificate does; a key says
// nothing.
func TestWorkflow(t *testing.T) {
	s := newStage(t)
	signed := func(all []pkix.Extension) []byte { return s.extended(t, all) }
	trust := bundle.Trust{Identities: []bundle.Identity{{Issuer: issuer, Subject: subject, Repository: run.Repository}}, Root: s.root}
	data := signed(extensions(t, run))
	v, err := bundle.OpenAttestation(data, trust)
	wants(t, err, nil)
	if got, ok := v.Workflow(); !ok || got != run {
		t.Errorf("%+v, %t", got, ok)
	}
	if got, err := bundle.ClaimedWorkflow(data); err != nil || got != run {
		t.Errorf("claimed: %+v, %v", got, err)
	}
	trust.Identities[0].Repository = bundle.NoRepository
	if v, err = bundle.OpenAttestation(signed(extensions(t, run)[3:4]), trust); err != nil {
		t.Fatal(err)
	} else if got, ok := v.Workflow(); ok || got != (bundle.Workflow{}) {
		t.Errorf("of a certificate that names none: %+v", got)
	}
	trust.Identities[0].Repository = run.Repository
	other := extensions(t, run)
	other[fieldsOfWorkflow+1].Value = []byte("another commit")
	_, err = bundle.OpenAttestation(signed(other), trust)
	wants(t, err, bundle.ErrMalformed)

	byKey := must(must(signing.WithKey(newKey(t)))(t).Sign(t.Context(), content(t, true)))(t)
	if got, err := bundle.ClaimedWorkflow(byKey); err != nil || got != (bundle.Workflow{}) {
		t.Errorf("of a key: %+v, %v", got, err)
	}
	_, err = bundle.ClaimedWorkflow([]byte("{}"))
	wants(t, err, bundle.ErrMalformed)
}
