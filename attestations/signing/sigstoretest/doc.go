// Package sigstoretest runs a whole Sigstore on loopback, for tests: who vouches
// for an identity, a person's or a CI's job, and the three servers, which are the
// tools of .ci/sigstore. Nothing outlives the test, nor the process, whatever
// ends it. Its tokens have the claims that GitHub's and GitLab's have, and its
// certificate authority makes of them what the public one makes of theirs.
//
// It is for Linux alone, and no package imports it but tests.
package sigstoretest

// A Provider is who vouches, as the certificate authority calls it.
type Provider string

// The providers.
const (
	Email  Provider = ""                // a person's, by the address Address
	GitHub Provider = "github-workflow" // GitHub Actions
	GitLab Provider = "gitlab-pipeline" // GitLab's CI
)

// Address is the person who Email vouches for.
const Address = "release@example.test"

// Audience is whom a token is for that the certificate authority takes.
const Audience = "sigstore"

// Claims are what a token says. What a token needs besides (iss, aud, iat, nbf,
// exp) is added, unless it is here; of them a nil is left out.
type Claims map[string]any

// A Job is what a CI knows of a job that asks for a token.
type Job struct {
	Repository string // OWNER/NAME
	Commit     string
	Ref        string // refs/tags/v1.0.0
	Workflow   string // the file in the repository: .github/workflows/release.yml
	Trigger    string // push, schedule; push if empty
	Run        string // GitHub: of the workflow, GitLab: of the job; 1 if empty
	Attempt    string // GitHub alone; 1 if empty

	// GitHub alone: of the reusable workflow that the job is part of, as
	// OWNER/NAME/PATH@REF, and its commit. Empty, the job is of Workflow itself.
	Called, CalledCommit string
}
