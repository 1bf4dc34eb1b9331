package verify

import (
	"context"
	"crypto"
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

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
)

var release = provenance.Workflow{
	Commit: strings.Repeat("0a", 20), Config: "https://ci.palisade.example/o/palisade/.ci/release.yml@refs/tags/v1.2.0", ConfigDigest: strings.Repeat("0a", 20),
	Issuer: "https://issuer.palisade.example", Ref: "refs/tags/v1.2.0", Repository: "https://ci.palisade.example/o/palisade", Run: "https://ci.palisade.example/o/palisade/runs/12/attempts/1",
	Runner: "github-hosted", Signer: "https://ci.palisade.example/o/palisade/.ci/release.yml@refs/tags/v1.2.0", SignerDigest: strings.Repeat("0a", 20), Trigger: "push",
}

type signer = func(testing.TB, signing.Content, string) []byte

// job signs with certificates that say what w does: an empty field is left out.
func (s *stage) job(w bundle.Workflow, subject string) signer {
	return func(t testing.TB, c signing.Content, _ string) []byte {
		t.Helper()
		var extensions []pkix.Extension
		for _, e := range []struct {
			id    asn1.ObjectIdentifier
			value string
		}{
			{certificate.OIDIssuerV2, w.Issuer}, {certificate.OIDBuildSignerURI, w.Signer}, {certificate.OIDBuildSignerDigest, w.SignerDigest},
			{certificate.OIDRunnerEnvironment, w.Runner}, {certificate.OIDSourceRepositoryURI, w.Repository}, {certificate.OIDSourceRepositoryDigest, w.Commit},
			{certificate.OIDSourceRepositoryRef, w.Ref}, {certificate.OIDBuildConfigURI, w.Config}, {certificate.OIDBuildConfigDigest, w.ConfigDigest},
			{certificate.OIDBuildTrigger, w.Trigger}, {certificate.OIDRunInvocationURI, w.Run},
		} {
			if e.value != "" {
				extensions = append(extensions, pkix.Extension{Id: e.id, Value: must(asn1.MarshalWithParams(e.value, "utf8"))(t)})
			}
		}
		private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
		begin := time.Now().Add(-time.Minute)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), URIs: []*url.URL{must(url.Parse(subject))(t)}, ExtraExtensions: extensions, KeyUsage: x509.KeyUsageDigitalSignature,
			NotBefore: begin, NotAfter: begin.Add(10 * time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		}
		der := must(x509.CreateCertificate(rand.Reader, template, s.parent, private.Public(), s.signer))(t)
		pb := must(signing.Make(context.Background(), c, signing.Local(private), &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: der}},
		}))(t)
		sig := pb.GetMessageSignature().GetSignature()
		if e := pb.GetDsseEnvelope(); e != nil {
			sig = e.GetSignatures()[0].GetSig()
		}
		pb.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: must(s.virtual.TimestampResponse(sig))(t)}},
		}
		return must(signing.Marshal(pb))(t)
	}
}

// by has w be made by that workflow; nil for the workstation.
func (w *world) by(named *provenance.Workflow) {
	if named == nil {
		return
	}
	w.builder.ID, w.run.InvocationID, w.run.Workflow = named.Builder(), named.Run, named
	w.run.Repository.URI, w.run.Repository.Commit = named.Source(), named.Commit
}

// releasePolicy accepts what release makes, and a workstation.
func releasePolicy(t testing.TB, pairs ...string) policy.Policy {
	t.Helper()
	return testPolicy(t, append([]string{
		"identities: none", "identities:\n    - issuer: " + release.Issuer + "\n      subject: " + release.Signer + "\n      repository: " + release.Repository, "timestamp: not-required", "timestamp: required",
		"builders: [" + workstation + "]", "builders: [" + workstation + ", " + release.Builder() + "]",
	}, pairs...)...)
}

var demandsWorkflow = []string{"workflow: not-required", "workflow: required"}

// Who signed is told by the certificate alone, in every field of it.
func TestWorkflow(t *testing.T) {
	s, other := newStage(t), newKey(t)
	type row struct {
		name   string
		named  *provenance.Workflow
		signer signer
		policy []string
		want   error
	}
	real := s.job(bundle.Workflow(release), release.Signer)
	rows := []row{
		{"as it was", &release, real, demandsWorkflow, nil},
		{"as it was, and nobody demands it", &release, real, nil, nil},
		{"it names none, and one is demanded", nil, real, demandsWorkflow, ErrNoWorkflow},
		{"it names none", nil, real, nil, nil},
		{"a certificate of no run", &release, s.job(bundle.Workflow{Issuer: release.Issuer, Repository: release.Repository}, release.Signer), demandsWorkflow, ErrWorkflow},
		{"a certificate of no run, and nobody demands one", &release, s.job(bundle.Workflow{Issuer: release.Issuer, Repository: release.Repository}, release.Signer), nil, ErrWorkflow},
		{"a key", &release, withKey(other), demandsWorkflow, ErrWorkflow},
		{"a key, and nobody demands a workflow", &release, withKey(other), nil, ErrWorkflow},
	}
	fields := reflect.TypeFor[bundle.Workflow]()
	for i := range fields.NumField() {
		shown, named, name := bundle.Workflow(release), release, fields.Field(i).Name
		value := reflect.ValueOf(&shown).Elem().Field(i)
		accepted := name == "Issuer" || name == "Repository" // and no other: so the provenance names one
		if accepted {
			value = reflect.ValueOf(&named).Elem().Field(i)
		}
		value.SetString(value.String() + "0")
		rows = append(rows, row{"another " + name, &named, s.job(shown, release.Signer), nil, ErrWorkflow})
		if !accepted {
			value.SetString("")
			rows = append(rows, row{"a certificate without its " + name, &named, s.job(shown, release.Signer), nil, ErrWorkflow})
		}
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, other, "hardened")
			w.by(tt.named)
			w.signer = tt.signer
			p := releasePolicy(t, tt.policy...)
			trust := Trust{Root: s.root, Now: time.Now(), Keys: []crypto.PublicKey{other.Public()}}
			if strings.HasPrefix(tt.name, "a key") { // of no timestamps
				p = releasePolicy(t, append([]string{"timestamp: required", "timestamp: not-required"}, tt.policy...)...)
			}
			report, err := Release(t.Context(), w.write(t), p, trust)
			if tt.want != nil {
				refused(t, report, err, []Check{Workflow}, []error{tt.want})
				return
			}
			made := slices.ContainsFunc(report.Lines, func(l Line) bool { return l.Number == Workflow && strings.Contains(l.Detail, release.Run) })
			if err != nil || made != (tt.named != nil) {
				t.Errorf("%v, %+v", err, report.Lines)
			}
		})
	}
}

// The zero policy demands a workflow, as all else.
func TestWorkflowOfZeroPolicy(t *testing.T) {
	s := &subject{}
	if vouched(s, policy.Policy{}, nil, []voucher{{}}); len(s.refusals) != 1 {
		t.Errorf("%+v", s.lines)
	}
}

// Of an image each provenance counts: its own, its archives', and those that
// registries carry.
func TestImageWorkflow(t *testing.T) {
	s := newStage(t)
	real := s.job(bundle.Workflow(release), release.Signer)
	another := bundle.Workflow(release)
	another.Run += "0"
	wrong := s.job(another, release.Signer)
	// elsewhen signs with another run's certificate what is is true of.
	elsewhen := func(is func(of string, c signing.Content) bool) signer {
		return func(t testing.TB, c signing.Content, of string) []byte {
			if is(of, c) {
				return wrong(t, c, of)
			}
			return real(t, c, of)
		}
	}
	trust := Trust{Root: s.root, Now: time.Now(), Keys: []crypto.PublicKey{newKey(t).Public()}}
	for _, tt := range []struct {
		name      string
		signer    signer
		none      bool    // no workflow is named
		file      []Check // that fail of the file in a release
		published []Check // that fail in a registry
		want      error
	}{
		{"as it was", real, false, nil, nil, nil},
		{"of no workflow", real, true, []Check{Workflow}, []Check{Workflow}, ErrNoWorkflow},
		{"the image's is another run's", elsewhen(func(of string, _ signing.Content) bool { return of == bundleOf(imageName+provenanceSuffix) }), false, []Check{Workflow}, nil, ErrWorkflow},
		{"an archive's is another run's", elsewhen(func(of string, _ signing.Content) bool { return of == bundleOf(hardened+provenanceSuffix) }), false, []Check{Workflow}, []Check{Workflow}, ErrWorkflow},
		{"what registries carry is another run's", elsewhen(func(of string, _ signing.Content) bool { return of == "" }), false, []Check{Carried}, []Check{Workflow}, ErrWorkflow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newImageWorld(t)
			if !tt.none {
				w.by(&release)
			}
			w.signer = tt.signer
			p := releasePolicy(t, demandsWorkflow...)
			report, err := Release(t.Context(), w.write(t), p, trust)
			for _, kind := range []struct {
				fails []Check
				where string
			}{{tt.file, "a release"}, {tt.published, "a registry"}} {
				if kind.where == "a registry" {
					report, err = Image(t.Context(), reference, newShelf(t, w), p, trust)
				}
				if kind.fails != nil {
					refused(t, report, err, kind.fails, []error{tt.want})
				} else if err != nil {
					t.Errorf("in %s: %v", kind.where, err)
				}
			}
		})
	}
}

// A provenance that registries carry says of the workflow what that of the file
// does.
func TestCarriedWorkflow(t *testing.T) {
	s := newStage(t)
	w := newImageWorld(t)
	w.by(&release)
	w.signer = s.job(bundle.Workflow(release), release.Signer)
	other := release
	other.Trigger = "workflow_dispatch"
	both := w.signer
	w.signer = func(t testing.TB, c signing.Content, of string) []byte {
		if of == "" {
			return s.job(bundle.Workflow(other), release.Signer)(t, c, of)
		}
		return both(t, c, of)
	}
	w.image.carry = func(_ artifact.Digest, kind string, st intoto.Statement) *intoto.Statement {
		if kind == provenanceKind {
			st.Predicate = []byte(strings.Replace(string(st.Predicate), `"trigger":"push"`, `"trigger":"workflow_dispatch"`, 1))
		}
		return &st
	}
	report, err := Release(t.Context(), w.write(t), releasePolicy(t), Trust{Root: s.root, Now: time.Now(), Keys: []crypto.PublicKey{newKey(t).Public()}})
	refused(t, report, err, []Check{Carried}, []error{ErrDocument})
}
