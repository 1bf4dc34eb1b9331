package sigstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
)

// Keyless signs as the identity that a token speaks of. The key is made here,
// lives in this process alone, and is bound to the identity by a certificate of
// minutes; one certificate serves for as long as it lasts, then a new key and a
// new token are taken, which have to speak of the same identity and run.
func Keyless(o Options, token Token) (*Holder, error) {
	// Who it will be, the certificate says.
	s, err := open(o, bundle.Trust{Identities: []bundle.Identity{{Issuer: "any", Subject: "any", Repository: bundle.NoRepository}}})
	if err != nil {
		return nil, err
	}
	return &Holder{services: s, token: token}, nil
}

// A Holder signs as the identity whose token he holds.
type Holder struct {
	services
	token Token

	mu   sync.Mutex
	key  keypair
	cert *x509.Certificate
	who  Who
}

// Who is what a certificate says of its holder.
type Who struct {
	Signer     bundle.Signer
	Repository string          // that a CI gave it for; bundle.NoRepository of a person
	Workflow   bundle.Workflow // the run of a CI that he is; zero if he is none
}

// Who has a certificate issued, unless there is one, and says what is in it.
// Nothing is signed. The first signature is made with the same certificate, if
// that lasts.
func (k *Holder) Who(ctx context.Context) (Who, error) {
	_, _, who, err := k.certified(ctx)
	return who, err
}

// reserve is how much of a certificate's life is left for a signature to get
// its timestamp in.
const reserve = time.Minute

// Identity is empty until something was signed: the certificate says who.
func (k *Holder) Identity() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cert == nil {
		return ""
	}
	return k.who.Signer.String()
}

func (k *Holder) Sign(ctx context.Context, content signing.Content) ([]byte, error) {
	key, cert, who, err := k.certified(ctx)
	if err != nil {
		return nil, err
	}
	pb, err := signing.Make(ctx, content, key, &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert.Raw}},
	})
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	trust := k.trust
	trust.Identities = []bundle.Identity{{Issuer: who.Signer.Issuer, Subject: who.Signer.Subject, Repository: who.Repository}}
	return k.witness(ctx, content, pb, block, trust)
}

func (k *Holder) certified(ctx context.Context) (keypair, *x509.Certificate, Who, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cert != nil && k.now().Before(k.cert.NotAfter.Add(-reserve)) {
		return k.key, k.cert, k.who, nil
	}
	fail := func(what string, err error) (keypair, *x509.Certificate, Who, error) {
		return keypair{}, nil, Who{}, fmt.Errorf("%s: %w", what, err)
	}
	token, err := k.token(ctx)
	if err == nil {
		err = checkToken(token)
	}
	if err != nil {
		return fail("signing as an identity", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail("making a key for an identity", err)
	}
	key := keypair{signing.Local(private)}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: k.authority, Timeout: k.each, Retries: 1, Transport: straight{}})
	der, err := fulcio.GetCertificate(ctx, key, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return fail("signing as an identity", fmt.Errorf("%w: asking for a certificate: %w", ErrService, err))
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil && !private.PublicKey.Equal(cert.PublicKey) {
		err = fmt.Errorf("%w: the certificate is of another key", ErrService)
	}
	if err != nil {
		return fail("reading the certificate of an identity", err)
	}
	var who Who
	if who.Signer, err = bundle.Identify(cert); err == nil {
		who.Repository, err = bundle.RepositoryIn(cert)
	}
	if err == nil {
		who.Workflow, err = bundle.WorkflowIn(cert)
	}
	if err == nil && k.cert != nil && who != k.who {
		err = fmt.Errorf("%w: the token speaks of %s now, run %q, and of %s before, run %q: begin anew", ErrToken, who.Signer, who.Workflow.Run, k.who.Signer, k.who.Workflow.Run)
	}
	if err != nil {
		return fail("reading the certificate of an identity", err)
	}
	k.key, k.cert, k.who = key, cert, who
	return key, cert, who, nil
}

// A keypair is a key as sigstore-go's client of Fulcio wants it.
type keypair struct{ signing.Key }

func (keypair) GetHashAlgorithm() protocommon.HashAlgorithm {
	return protocommon.HashAlgorithm_SHA2_256
}

func (keypair) GetSigningAlgorithm() protocommon.PublicKeyDetails {
	return protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
}

func (keypair) GetHint() []byte { return nil }

func (keypair) GetKeyAlgorithm() string { return "ECDSA" }

func (k keypair) GetPublicKey() crypto.PublicKey { return k.Public() }

func (k keypair) GetPublicKeyPem() (string, error) {
	public, err := signing.MarshalPublicKey(k.Public())
	return string(public), err
}

// SignData proves to Fulcio that the key is here.
func (k keypair) SignData(ctx context.Context, data []byte) (signature, digest []byte, err error) {
	sum := sha256.Sum256(data)
	signature, err = k.SignDigest(ctx, sum[:])
	return signature, sum[:], err
}
