package bundle

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"palisade/attestations/intoto"
)

// A Workflow is the run of a CI that a certificate was issued to, as the issuer
// of its token told the certificate authority: the extensions 1.3.6.1.4.1.57264.1.8
// to .21. Addresses are the CI's own. Either all fields are there, or there is no
// Workflow.
type Workflow struct {
	Commit       string // of Repository
	Config       string // the file that the run began with, as ADDRESS@REF
	ConfigDigest string // the commit that this file is of
	Issuer       string // who vouches for the rest
	Ref          string // that was built: refs/tags/v1.0.0
	Repository   string // whose CI it is
	Run          string // this run, and no other
	Runner       string // whose machine it is: github-hosted, self-hosted
	Signer       string // the file that the job is part of which signs, as ADDRESS@REF; Config, but where that calls another's
	SignerDigest string // the commit that this file is of
	Trigger      string // what began it: push, schedule
}

// maxField bounds what a certificate says of one thing, in bytes.
const maxField = 1000

// WorkflowIn is the run that a certificate speaks of, trusted or not; the zero
// Workflow if it speaks of none, or not of all that there is to say.
func WorkflowIn(cert *x509.Certificate) (Workflow, error) {
	fail := func(format string, args ...any) (Workflow, error) {
		return Workflow{}, fmt.Errorf("%w: reading the workflow in the certificate: "+format, append([]any{ErrMalformed}, args...)...)
	}
	for n, e := range cert.Extensions {
		for _, other := range cert.Extensions[:n] {
			if e.Id.Equal(other.Id) {
				return fail("the extension %s is there twice", e.Id)
			}
		}
	}
	e, err := certificate.ParseExtensions(cert.Extensions)
	if err != nil {
		return fail("%w", err)
	}
	w := Workflow{
		Commit: e.SourceRepositoryDigest, Config: e.BuildConfigURI, ConfigDigest: e.BuildConfigDigest, Issuer: e.Issuer,
		Ref: e.SourceRepositoryRef, Repository: e.SourceRepositoryURI, Run: e.RunInvocationURI, Runner: e.RunnerEnvironment,
		Signer: e.BuildSignerURI, SignerDigest: e.BuildSignerDigest, Trigger: e.BuildTrigger,
	}
	if slices.Contains(w.fields(), "") {
		return Workflow{}, nil
	}
	for _, value := range w.fields() {
		if len(value) > maxField || !intoto.Printable(value) {
			return fail("%.200q is no name of anything", value)
		}
	}
	// What GitHub's certificates say twice, in a former form too, is one thing.
	for _, pair := range [][2]string{
		{e.GithubWorkflowSHA, w.Commit}, {e.GithubWorkflowRef, w.Ref}, {e.GithubWorkflowTrigger, w.Trigger}, //nolint:staticcheck // in use
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return fail("it names both %.200q and %.200q", pair[0], pair[1])
		}
	}
	if former := e.GithubWorkflowRepository; former != "" && !strings.HasSuffix(w.Repository, "/"+former) { //nolint:staticcheck // in use
		return fail("it is of both %.200q and %.200q", former, w.Repository)
	}
	return w, nil
}

func (w Workflow) fields() []string {
	return []string{w.Commit, w.Config, w.ConfigDigest, w.Issuer, w.Ref, w.Repository, w.Run, w.Runner, w.Signer, w.SignerDigest, w.Trigger}
}

// Workflow is the run that the certificate was issued to which signed; false if a
// key signed, or a certificate that names no run, or not all of a Workflow.
func (v Verified) Workflow() (Workflow, bool) { return v.workflow, v.workflow != Workflow{} }

// ClaimedWorkflow is the run that a bundle says it was signed by, for whoever has
// just signed; the zero Workflow if it says none. Like Claimed it is confirmed by
// nobody.
func ClaimedWorkflow(data []byte) (Workflow, error) {
	b, err := parse(data)
	if err != nil || b.certificate == nil {
		return Workflow{}, err
	}
	return WorkflowIn(b.certificate)
}
