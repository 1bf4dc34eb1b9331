package sigstore_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/signing/sigstore"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// unsigned is a token that nobody has signed.
func unsigned(t testing.TB, head string, claims map[string]any) string {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(head)) + "." + part(must(json.Marshal(claims))(t)) + ".c2lnbmVk"
}

const goodHead = `{"alg":"RS256","kid":"1"}`

var (
	zeros  = strings.Repeat("0", 40)
	gitHub = map[string]any{
		"iss": "https://token.actions.githubusercontent.com", "aud": "sigstore", "sub": "repo:owner/palisade:ref:refs/tags/v1.0.0", "exp": 1700000000,
		"repository": "owner/palisade", "sha": zeros, "ref": "refs/tags/v1.0.0", "event_name": "push", "runner_environment": "github-hosted",
		"workflow_ref": "owner/palisade/.github/workflows/release.yml@refs/tags/v1.0.0", "workflow_sha": zeros,
		"job_workflow_ref": "other/builders/.github/workflows/build.yml@refs/tags/v3", "job_workflow_sha": strings.Repeat("1", 40),
		"run_id": "12", "run_attempt": "2",
	}
	gitLab = map[string]any{
		"iss": "https://gitlab.example.test", "aud": []string{"sigstore"}, "sub": "project_path:group/palisade:ref_type:tag:ref:v1.0.0", "exp": 1700000000,
		"project_path": "group/palisade", "sha": zeros, "ref": "v1.0.0", "ref_type": "tag", "pipeline_source": "push", "runner_environment": "self-hosted",
		"ci_config_ref_uri": "gitlab.example.test/group/palisade//.gitlab-ci.yml@refs/tags/v1.0.0", "ci_config_sha": zeros, "job_id": "7", "runner_id": 1,
	}
)

func with(claims map[string]any, pairs ...any) map[string]any {
	claims = maps.Clone(claims)
	for i := 0; i < len(pairs); i += 2 {
		if claims[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
		}
	}
	return claims
}

func TestReadClaims(t *testing.T) {
	onGitHub := bundle.Workflow{
		Issuer: "https://token.actions.githubusercontent.com", Repository: "https://github.com/owner/palisade", Commit: zeros, Ref: "refs/tags/v1.0.0", Trigger: "push", Runner: "github-hosted",
		Config: "https://github.com/owner/palisade/.github/workflows/release.yml@refs/tags/v1.0.0", ConfigDigest: zeros,
		Signer: "https://github.com/other/builders/.github/workflows/build.yml@refs/tags/v3", SignerDigest: strings.Repeat("1", 40),
		Run: "https://github.com/owner/palisade/actions/runs/12/attempts/2",
	}
	onGitLab := bundle.Workflow{
		Issuer: "https://gitlab.example.test", Repository: "https://gitlab.example.test/group/palisade", Commit: zeros, Ref: "refs/tags/v1.0.0", Trigger: "push", Runner: "self-hosted",
		Config: "https://gitlab.example.test/group/palisade//.gitlab-ci.yml@refs/tags/v1.0.0", ConfigDigest: zeros,
		Signer: "https://gitlab.example.test/group/palisade//.gitlab-ci.yml@refs/tags/v1.0.0", SignerDigest: zeros,
		Run: "https://gitlab.example.test/group/palisade/-/jobs/7",
	}
	at := func(w bundle.Workflow, issuer, server string) bundle.Workflow {
		data := must(json.Marshal(w))(t)
		data = []byte(strings.ReplaceAll(string(data), "https://github.com/", server+"/"))
		if err := json.Unmarshal(data, &w); err != nil {
			t.Fatal(err)
		}
		w.Issuer = issuer
		return w
	}
	branch := onGitLab
	branch.Ref = "refs/heads/v1.0.0"
	shared := onGitLab
	shared.Config, shared.Signer = "https://gitlab.example.test/ci/files//release.yml@main", "https://gitlab.example.test/ci/files//release.yml@main"
	const (
		server = "https://github.example.test/_services/token"
		ghe    = "https://token.actions.octo.ghe.com"
		slug   = "https://token.actions.githubusercontent.com/octo"
	)
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   bundle.Workflow
	}{
		{"GitHub", gitHub, onGitHub},
		{"a server of GitHub's own", with(gitHub, "iss", server), at(onGitHub, server, "https://github.example.test")},
		{"an enterprise's", with(gitHub, "iss", ghe), at(onGitHub, ghe, "https://octo.ghe.com")},
		{"an enterprise's issuer", with(gitHub, "iss", slug), at(onGitHub, slug, "https://github.com")},
		{"another issuer", with(gitHub, "iss", "http://127.0.0.1:8080"), at(onGitHub, "http://127.0.0.1:8080", "http://127.0.0.1:8080")},
		{"GitLab", gitLab, onGitLab},
		{"a branch", with(gitLab, "ref_type", "branch"), branch},
		{"the file of another project", with(gitLab, "ci_config_ref_uri", "gitlab.example.test/ci/files//release.yml@main"), shared},
		{"a person", map[string]any{"iss": "https://accounts.example.test", "aud": "sigstore", "sub": "1", "exp": 1700000000, "email": "a@example.test"}, bundle.Workflow{}},
	} {
		c, err := sigstore.ReadClaims(unsigned(t, goodHead, tt.claims))
		if err != nil || c.Workflow != tt.want || c.Issuer != tt.claims["iss"] || c.Subject != tt.claims["sub"] || !c.Expires.Equal(time.Unix(1700000000, 0)) {
			t.Errorf("%s: %+v, %v", tt.name, c, err)
		}
	}
}

// What lacks something is refused, and never taken for a person's.
func TestReadClaimsRefuses(t *testing.T) {
	tokens := map[string]string{
		"nothing":                  "",
		"two parts":                strings.Join(strings.Split(unsigned(t, goodHead, gitHub), ".")[:2], "."),
		"four parts":               unsigned(t, goodHead, gitHub) + ".e30",
		"no signature":             strings.TrimSuffix(unsigned(t, goodHead, gitHub), "c2lnbmVk"),
		"a head of no JSON":        unsigned(t, "head", gitHub),
		"a head that is a list":    unsigned(t, "[]", gitHub),
		"signed by nobody":         unsigned(t, `{"alg":"none"}`, gitHub),
		"signed by nobody at all":  unsigned(t, `{"alg":"nOnE"}`, gitHub),
		"another audience":         unsigned(t, goodHead, with(gitHub, "aud", "bank")),
		"another audience as well": unsigned(t, goodHead, with(gitHub, "aud", []string{"sigstore", "bank"})),
		"no audience":              unsigned(t, goodHead, with(gitHub, "aud", nil)),
		"no end":                   unsigned(t, goodHead, with(gitHub, "exp", nil)),
		"an end in words":          unsigned(t, goodHead, with(gitHub, "exp", "tomorrow")),
		"an end in between":        unsigned(t, goodHead, with(gitHub, "exp", 1.5)),
		"two kinds of CI":          unsigned(t, goodHead, with(gitHub, "ci_config_ref_uri", "x")),
		"too large":                unsigned(t, goodHead, with(gitHub, "x", strings.Repeat("x", 1<<20))),
		"a claim twice":            "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"aud":"bank","aud":"sigstore","iss":"x","sub":"x","exp":1}`)) + ".e30",
	}
	for _, claims := range []map[string]any{gitHub, gitLab} {
		for name := range claims {
			if name == "aud" || name == "exp" || name == "runner_id" || name == "job_workflow_ref" || name == "ci_config_ref_uri" {
				continue // above, or unused, or what makes it a CI's
			}
			tokens["without "+name] = unsigned(t, goodHead, with(claims, name, nil))
			tokens[name+" that is empty"] = unsigned(t, goodHead, with(claims, name, ""))
			tokens[name+" that is a number"] = unsigned(t, goodHead, with(claims, name, 1))
			tokens[name+" in two lines"] = unsigned(t, goodHead, with(claims, name, "a\nb"))
			tokens[name+" that is long"] = unsigned(t, goodHead, with(claims, name, strings.Repeat("x", 1001)))
		}
	}
	for name, token := range tokens {
		if c, err := sigstore.ReadClaims(token); !errors.Is(err, sigstore.ErrToken) || c != (sigstore.Claims{}) {
			t.Errorf("%s: %+v, %v", name, c, err)
		} else if token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error holds the token: %v", name, err)
		}
	}
}

func FuzzReadClaims(f *testing.F) {
	for _, claims := range []map[string]any{gitHub, gitLab} {
		f.Add(unsigned(f, goodHead, claims))
	}
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := sigstore.ReadClaims(token)
		if err == nil && (c.Issuer == "" || c.Subject == "" || c.Expires.Unix() < 1) || err != nil && !errors.Is(err, sigstore.ErrToken) {
			t.Errorf("%+v, %v", c, err)
		}
	})
}
