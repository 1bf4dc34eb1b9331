package sigstoretest

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"
)

// Claims are those of a token that the provider gives to a job; to Email a job
// says nothing.
func (s *Stack) Claims(j Job) Claims {
	owner, ref := path.Dir(j.Repository), path.Base(j.Ref)
	kind := "branch"
	if strings.HasPrefix(j.Ref, "refs/tags/") {
		kind = "tag"
	}
	run, trigger := cmp.Or(j.Run, "1"), cmp.Or(j.Trigger, "push")
	switch s.provider {
	case GitHub:
		file := j.Repository + "/" + j.Workflow + "@" + j.Ref
		return Claims{
			"sub": "repo:" + j.Repository + ":ref:" + j.Ref, "jti": "1",
			"repository": j.Repository, "repository_id": "74", "repository_owner": owner, "repository_owner_id": "65", "repository_visibility": "public",
			"sha": j.Commit, "ref": j.Ref, "ref_type": kind, "ref_protected": "true", "head_ref": "", "base_ref": "",
			"workflow": "release", "workflow_ref": file, "workflow_sha": j.Commit,
			"job_workflow_ref": cmp.Or(j.Called, file), "job_workflow_sha": cmp.Or(j.CalledCommit, j.Commit),
			"event_name": trigger, "run_id": run, "run_number": "10", "run_attempt": cmp.Or(j.Attempt, "1"),
			"runner_environment": "github-hosted", "actor": "octocat", "actor_id": "12",
		}
	case GitLab:
		file := strings.TrimPrefix(s.url, "https://") + "/" + j.Repository + "//" + j.Workflow + "@" + j.Ref
		return Claims{
			"sub": "project_path:" + j.Repository + ":ref_type:" + kind + ":ref:" + ref, "jti": "1",
			"project_path": j.Repository, "project_id": "74", "namespace_path": owner, "namespace_id": "65", "project_visibility": "public",
			"sha": j.Commit, "ref": ref, "ref_type": kind, "ref_path": j.Ref, "ref_protected": "true",
			"ci_config_ref_uri": file, "ci_config_sha": j.Commit, "pipeline_source": trigger, "pipeline_id": "10", "job_id": run,
			"runner_environment": "gitlab-hosted", "runner_id": 1, "user_login": "octocat", "user_id": "12", "user_email": "octocat@example.test",
		}
	}
	return Claims{"sub": "1", "email": Address, "email_verified": true}
}

// Token is one of the issuer's, for five minutes.
func (s *Stack) Token(t testing.TB, claims Claims) string {
	t.Helper()
	token, err := s.token(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (s *Stack) token(claims Claims) (string, error) {
	now := time.Now()
	all := Claims{"iss": s.Issuer, "aud": Audience, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	part := base64.RawURLEncoding.EncodeToString
	signed := part([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) + "." + part(payload)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	return signed + "." + part(signature), err
}

// Request lets a job ask for a token with these claims, and for any audience, as
// GitHub does: what it returns are ACTIONS_ID_TOKEN_REQUEST_URL and
// ACTIONS_ID_TOKEN_REQUEST_TOKEN. Each call is another job's.
func (s *Stack) Request(claims Claims) (url, token string) {
	token = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs["Bearer "+token] = claims
	return s.Issuer + "/request?api-version=2", token
}

// serve is the issuer: its keys, where they are, and tokens for jobs.
func (s *Stack) serve(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch r.URL.Path {
	case "/keys":
		part := base64.RawURLEncoding.EncodeToString
		answer = map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": part(s.key.N.Bytes()), "e": part(big.NewInt(int64(s.key.E)).Bytes()),
		}}}
	case "/request":
		s.mu.Lock()
		claims, known := s.jobs[r.Header.Get("Authorization")]
		s.mu.Unlock()
		if !known || r.URL.Query().Get("audience") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		claims = maps.Clone(claims)
		if _, said := claims["aud"]; !said {
			claims["aud"] = r.URL.Query().Get("audience")
		}
		token, err := s.token(claims)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer = map[string]any{"count": 1, "value": token}
	default:
		answer = map[string]any{
			"issuer": s.Issuer, "jwks_uri": s.Issuer + "/keys", "authorization_endpoint": s.Issuer, "token_endpoint": s.Issuer,
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}
