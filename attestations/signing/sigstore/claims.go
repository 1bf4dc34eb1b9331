package sigstore

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
)

// Claims are what a token says, for whoever holds it and wants to know early
// whether it is of any use. Nothing of it is believed: what is true of it the
// certificate says.
type Claims struct {
	Issuer, Subject string
	Expires         time.Time
	// Workflow is the run that the token speaks of; zero if it is a person's.
	// Its addresses are those that the public authority writes, as far as a token
	// tells them.
	Workflow bundle.Workflow
}

// limits is what a token may hold. Those of CIs have forty claims.
var limits = intoto.Limits{Size: maxToken, Depth: 8, Items: 1000}

// ReadClaims reads a token, of which no error says anything but the names and
// values of what is public in it. It refuses (ErrToken) one that is not for
// Audience alone, that is signed by nobody, or that says of a run of a CI less
// than there is to say. That it has not expired is the caller's to see.
func ReadClaims(token string) (Claims, error) {
	all, err := claimsIn(token)
	if err != nil {
		return Claims{}, err
	}
	r := reader{claims: all}
	c := Claims{Issuer: r.text("iss"), Subject: r.text("sub")}
	var expires float64
	if json.Unmarshal(all["exp"], &expires) != nil || expires < 1 || expires > 1<<40 || expires != math.Trunc(expires) {
		return Claims{}, fmt.Errorf("%w: it does not say when it expires", ErrToken)
	}
	c.Expires = time.Unix(int64(expires), 0).UTC()
	switch _, hub := all["job_workflow_ref"]; {
	case hub && all["ci_config_ref_uri"] != nil:
		r.err = errors.New("it is of two kinds of CI")
	case hub:
		c.Workflow = r.gitHub(c.Issuer)
	case all["ci_config_ref_uri"] != nil:
		c.Workflow = r.gitLab(c.Issuer)
	}
	if r.err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, r.err)
	}
	return c, nil
}

// claimsIn is the payload of a token, once it is known whom that is for.
func claimsIn(token string) (map[string]json.RawMessage, error) {
	malformed := fmt.Errorf("%w: not a JSON web token", ErrToken)
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 || slices.Contains(parts, "") {
		return nil, malformed
	}
	var claims, head map[string]json.RawMessage
	for n, into := range []*map[string]json.RawMessage{&head, &claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil || intoto.Decode(data, into, limits) != nil || *into == nil {
			return nil, malformed
		}
	}
	var algorithm string
	if json.Unmarshal(head["alg"], &algorithm) == nil && strings.EqualFold(algorithm, "none") {
		return nil, fmt.Errorf("%w: nobody has signed it", ErrToken)
	}
	var many []string
	var one string
	if json.Unmarshal(claims["aud"], &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(claims["aud"], &many) != nil {
		return nil, fmt.Errorf("%w: it does not say whom it is for", ErrToken)
	}
	if !slices.Equal(many, []string{Audience}) {
		return nil, fmt.Errorf("%w: it is for %.200q: ask for one for %q alone", ErrToken, many, Audience)
	}
	return claims, nil
}

// checkToken looks at whom a token is for before it is shown to anybody. Whether
// it is genuine is the authority's to find out. No error holds the token.
func checkToken(token string) error {
	_, err := claimsIn(token)
	return err
}

// A reader reads claims, and remembers the first that is not there.
type reader struct {
	claims map[string]json.RawMessage
	err    error
}

const maxClaim = 1000 // bytes

func (r *reader) text(name string) string {
	var s string
	if err := json.Unmarshal(r.claims[name], &s); (err != nil || s == "" || len(s) > maxClaim || !intoto.Printable(s)) && r.err == nil {
		r.err = fmt.Errorf("its claim %q is no text, or missing", name)
	}
	return s
}

// gitHub reads what GitHub Actions says of a job.
func (r *reader) gitHub(issuer string) bundle.Workflow {
	server := gitHubServer(issuer)
	repository := server + "/" + r.text("repository")
	return bundle.Workflow{
		Issuer: issuer, Repository: repository, Commit: r.text("sha"), Ref: r.text("ref"), Trigger: r.text("event_name"), Runner: r.text("runner_environment"),
		Config: server + "/" + r.text("workflow_ref"), ConfigDigest: r.text("workflow_sha"),
		Signer: server + "/" + r.text("job_workflow_ref"), SignerDigest: r.text("job_workflow_sha"),
		Run: repository + "/actions/runs/" + r.text("run_id") + "/attempts/" + r.text("run_attempt"),
	}
}

// gitHubServer is where the repositories are of which an issuer speaks: GitHub's
// own, an enterprise's, or that of a server of one's own.
func gitHubServer(issuer string) string {
	const public = "https://token.actions.githubusercontent.com"
	if issuer == public || strings.HasPrefix(issuer, public+"/") {
		return "https://github.com"
	}
	if rest, ok := strings.CutPrefix(issuer, "https://token.actions."); ok && strings.HasSuffix(rest, ".ghe.com") {
		return "https://" + rest
	}
	return strings.TrimSuffix(strings.TrimSuffix(issuer, "/"), "/_services/token")
}

// gitLab reads what GitLab says of a job. Where it is, the address of the file
// says that the pipeline began with.
func (r *reader) gitLab(issuer string) bundle.Workflow {
	project, file := r.text("project_path"), r.text("ci_config_ref_uri")
	server, _, own := strings.Cut(file, "/"+project+"//")
	if !own {
		server, _, _ = strings.Cut(file, "/")
	}
	ref := "refs/tags/" + r.text("ref")
	if r.text("ref_type") == "branch" {
		ref = "refs/heads/" + r.text("ref")
	}
	repository, config, commit := "https://"+server+"/"+project, "https://"+file, r.text("ci_config_sha")
	return bundle.Workflow{
		Issuer: issuer, Repository: repository, Commit: r.text("sha"), Ref: ref, Trigger: r.text("pipeline_source"), Runner: r.text("runner_environment"),
		Config: config, ConfigDigest: commit, Signer: config, SignerDigest: commit,
		Run: repository + "/-/jobs/" + r.text("job_id"),
	}
}
