//go:build linux

package sigstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/sigstore"
	"palisade/attestations/signing/sigstoretest"
)

// A job of a CI signs as the run that it is: what its token says, its certificate
// does, and whoever opens what it signed is told the same.
func TestWorkflow(t *testing.T) {
	jobs := map[sigstoretest.Provider]sigstoretest.Job{
		sigstoretest.GitHub: {Repository: "owner/palisade", Commit: strings.Repeat("0a", 20), Ref: "refs/tags/v1.0.0", Workflow: ".github/workflows/release.yml", Run: "12", Attempt: "2",
			Called: "other/builders/.github/workflows/build.yml@refs/tags/v3", CalledCommit: strings.Repeat("0b", 20)},
		sigstoretest.GitLab: {Repository: "group/palisade", Commit: strings.Repeat("0a", 20), Ref: "refs/tags/v1.0.0", Workflow: ".gitlab-ci.yml", Run: "7"},
	}
	for provider, job := range jobs {
		t.Run(string(provider), func(t *testing.T) {
			s := sigstoretest.Start(t, sigstoretest.Options{Servers: *serversDir, Provider: provider})
			url, secret := s.Request(s.Claims(job))
			asked := 0
			holder := must(sigstore.Keyless(sigstore.Options{Config: s.Config, Root: s.Root, Now: time.Now}, func(ctx context.Context) (string, error) {
				asked++
				return sigstore.Actions(url, secret)(ctx)
			}))(t)
			who := must(holder.Who(t.Context()))(t)
			w := who.Workflow
			if w.Issuer != s.Issuer || w.Commit != job.Commit || w.Ref != job.Ref || who.Signer.Subject != w.Signer {
				t.Errorf("the certificate is %s's, of %+v", who.Signer, w)
			}
			claims := must(sigstore.ReadClaims(must(sigstore.Actions(url, secret)(t.Context()))(t)))(t)
			if provider == sigstoretest.GitHub { // whose tokens do not say where it is
				claims.Workflow = moved(claims.Workflow, s.Issuer, "https://github.example.test")
			}
			if claims.Workflow != w {
				t.Errorf("the token says\n%+v\nthe certificate\n%+v", claims.Workflow, w)
			}

			content := signing.Statement([]byte("{}"))
			data := must(holder.Sign(t.Context(), content))(t)
			if asked != 1 {
				t.Errorf("asked for a token %d times for one certificate", asked)
			}
			trust := bundle.Trust{Root: must(bundle.ParseRoot(s.Root))(t), RequireLog: true, RequireTimestamp: true, Identities: []bundle.Identity{{Issuer: s.Issuer, Subject: w.Signer, Repository: w.Repository}}}
			v := must(content.Open(data, trust))(t)
			if got, ok := v.Workflow(); !ok || got != w {
				t.Errorf("who opens it is told %+v", got)
			}
		})
	}
}

// moved is w at another address, of the same issuer.
func moved(w bundle.Workflow, from, to string) bundle.Workflow {
	for _, address := range []*string{&w.Config, &w.Repository, &w.Run, &w.Signer} {
		*address = strings.Replace(*address, from, to, 1)
	}
	return w
}

// Another certificate for what is left to be signed is of the same run, or nothing
// more is signed.
func TestWorkflowStays(t *testing.T) {
	s := sigstoretest.Start(t, sigstoretest.Options{Servers: *serversDir, Provider: sigstoretest.GitHub})
	job := sigstoretest.Job{Repository: "owner/palisade", Commit: strings.Repeat("0a", 20), Ref: "refs/tags/v1.0.0", Workflow: ".github/workflows/release.yml"}
	content := signing.Statement([]byte("{}"))
	for _, tt := range []struct {
		name   string
		change func(j *sigstoretest.Job)
		want   error
	}{
		{"the same", func(*sigstoretest.Job) {}, nil},
		{"another attempt", func(j *sigstoretest.Job) { j.Attempt = "2" }, sigstore.ErrToken},
		{"another commit", func(j *sigstoretest.Job) { j.Commit = strings.Repeat("0c", 20) }, sigstore.ErrToken},
		{"another workflow", func(j *sigstoretest.Job) { j.Workflow = ".github/workflows/ci.yml" }, sigstore.ErrToken},
	} {
		j, later := job, time.Duration(0)
		holder := must(sigstore.Keyless(sigstore.Options{Config: s.Config, Root: s.Root, Now: func() time.Time { return time.Now().Add(later) }}, func(context.Context) (string, error) {
			return s.Token(t, s.Claims(j)), nil
		}))(t)
		must(holder.Sign(t.Context(), content))(t)
		tt.change(&j)
		later = time.Hour // the certificate has ended
		if _, err := holder.Sign(t.Context(), content); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
