package verify

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/vsa"
)

// Level is the level of SLSA's build track that a summary of r tells of: the first,
// which asks for the provenance that was seen to be there, unless the author of the
// policy vouches for more of all builders that it names (policy.Policy.BuildLevel).
// That one of them runs where those who ask for a build cannot reach it, which the
// second level begins with, no verification shows. It is empty of what did not pass.
func (r Report) Level() string { return r.level }

// levels are what SLSA calls the levels that a policy can vouch for.
var levels = map[int]string{1: vsa.BuildLevel1, 2: vsa.BuildLevel2, 3: vsa.BuildLevel3}

// Summary is the statement that this verification passed, of release.json and
// every artifact, or of the one that File was asked for, or of the index and the
// manifests of an image in a registry. verifier and policyURI
// name who says so and what it was held against; whoever signs it answers for
// that. Of a report that did not pass there is none.
func (r Report) Summary(verifier, policyURI string) (intoto.Statement, error) {
	if !r.Passed {
		return intoto.Statement{}, fmt.Errorf("summing up a verification: %w", ErrRefused)
	}
	if r.resource == "" || r.level == "" || r.now.IsZero() {
		return intoto.Statement{}, errors.New("summing up a verification: the report is none of Release, File or Image")
	}
	return vsa.Summary{
		Verifier: vsa.Verifier{ID: verifier}, Time: r.now.UTC().Truncate(time.Second),
		ResourceURI: r.resource,
		Policy:      intoto.Resource{URI: policyURI, Digest: intoto.Digests{"sha256": r.PolicyDigest.Hex()}},
		Inputs:      r.inputs, Result: vsa.Passed, Levels: []string{r.level}, SLSAVersion: vsa.SLSAVersion,
	}.Statement(r.subjects)
}

// Resource is what a summary of r is of: ResourceURI or ImageURI. It is empty of
// what did not pass.
func (r Report) Resource() string { return r.resource }

// ResourceURI is a release, as a package URL: the distribution's name and the
// digest of release.json, which no other release has.
func ResourceURI(distribution string, release artifact.Digest) string {
	return "pkg:generic/" + url.PathEscape(distribution) + "?checksum=" + release.String()
}

// ImageURI is an image, as a package URL: the component's name and the digest of
// the index, wherever that lies.
func ImageURI(component string, index artifact.Digest) string {
	return "pkg:oci/" + url.PathEscape(component) + "@" + index.String()
}
