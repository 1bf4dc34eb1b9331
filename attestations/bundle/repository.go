package bundle

import (
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"palisade/attestations/intoto"
)

// NoRepository is the source repository of a certificate that names none: a
// person's. No address is spelt so.
const NoRepository = "none"

// RepositoryIn is the address of the source repository that a certificate was issued
// for, trusted or not, as the extension 1.3.6.1.4.1.57264.1.12 has it; NoRepository
// if it names none. It need not name a whole Workflow. One that names a repository in
// GitHub's former form alone, without an address, is refused: it is not without one.
func RepositoryIn(cert *x509.Certificate) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("%w: reading the source repository in the certificate: %w", ErrMalformed, err)
	}
	repository, found, former := NoRepository, 0, false
	for _, e := range cert.Extensions {
		switch {
		case e.Id.Equal(certificate.OIDSourceRepositoryURI):
			found++
			if err := certificate.ParseDERString(e.Value, &repository); err != nil {
				return fail(err)
			}
		case e.Id.Equal(certificate.OIDGitHubWorkflowRepository): //nolint:staticcheck // in use
			former = true
		}
	}
	switch {
	case found > 1:
		return fail(errors.New("it is there twice"))
	case found == 0 && former:
		return fail(errors.New("it has no address"))
	case found == 1 && (repository == "" || repository == NoRepository || len(repository) > maxField || !intoto.Printable(repository)):
		return fail(fmt.Errorf("%.200q is no address", repository))
	}
	return repository, nil
}
