package provenance

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"palisade/attestations/intoto"
)

// A Workflow is the run of a CI that vouches for a provenance: who builds is then
// the CI, and its word on the run is in the certificate that the provenance is
// signed with, field by field. That both say the same is for whoever verifies the
// signature to see; a workstation has none.
//
// Its fields are those of bundle.Workflow, so that one becomes the other by a
// conversion and a field that only one has does not compile.
type Workflow struct {
	Commit       string `json:"commit"`       // that was built, of Repository
	Config       string `json:"config"`       // the file that the run began with, as ADDRESS@REF
	ConfigDigest string `json:"configDigest"` // the commit that this file is of
	Issuer       string `json:"issuer"`       // who vouches for the rest
	Ref          string `json:"ref"`          // that was built: refs/tags/v1.0.0
	Repository   string `json:"repository"`   // of this distribution, whose CI it is
	Run          string `json:"run"`          // this run, and no other: the invocationId
	Runner       string `json:"runner"`       // whose machine signed: github-hosted, self-hosted
	Signer       string `json:"signer"`       // the file that the signing job is part of, as ADDRESS@REF
	SignerDigest string `json:"signerDigest"` // the commit that this file is of
	Trigger      string `json:"trigger"`      // what began the run: push, schedule
}

// workflowField is where a Workflow stands.
const workflowField = "buildDefinition.internalParameters.workflow"

// Builder is the builder.id of what w vouches for: the address of the file that
// the signing job is part of, without its ref, so that one entry of a policy is
// good for every release. Which ref it was the certificate's subject says.
func (w Workflow) Builder() string {
	if i := strings.LastIndexByte(w.Signer, '@'); i >= 0 {
		return w.Signer[:i]
	}
	return w.Signer
}

// Source is the address of w's repository as that of a dependency.
func (w Workflow) Source() string { return "git+" + w.Repository }

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// validate holds w against what the provenance says elsewhere: who built, in which
// run, and from what. A provenance without a workflow says these of itself.
func (w *Workflow) validate(d RunDetails, dependencies []intoto.Resource) error {
	if w == nil {
		return nil
	}
	bad := func(field, value string) error {
		return fmt.Errorf("internalParameters.workflow.%s is %.200q", field, value)
	}
	fields := reflect.ValueOf(*w)
	for i := range fields.NumField() {
		name, value := fields.Type().Field(i).Tag.Get("json"), fields.Field(i).String()
		if value == "" || len(value) > 1000 || !intoto.Printable(value) {
			return bad(name, value)
		}
	}
	for _, f := range [][2]string{{"config", w.Config}, {"issuer", w.Issuer}, {"repository", w.Repository}, {"run", w.Run}, {"signer", w.Signer}} {
		if err := intoto.ValidateURI(f[1]); err != nil {
			return fmt.Errorf("internalParameters.workflow.%s: %w", f[0], err)
		}
	}
	repository, known := repositoryIn(dependencies)
	switch {
	case !commitForm.MatchString(w.Commit):
		return bad("commit", w.Commit)
	case !strings.Contains(w.Signer, "@"):
		return fmt.Errorf("internalParameters.workflow.signer: %.200q names no ref", w.Signer)
	case d.Builder.ID != w.Builder():
		return fmt.Errorf("builder.id is %.200q, and the workflow that vouches for it %.200q", d.Builder.ID, w.Builder())
	case d.Metadata.InvocationID != w.Run:
		return fmt.Errorf("metadata.invocationId is %.200q, and the workflow's run %.200q", d.Metadata.InvocationID, w.Run)
	case !known || repository.Commit != w.Commit || repository.URI != w.Source():
		return fmt.Errorf("resolvedDependencies: the repository is %.200q at %.64q, and the workflow's %.200q at %.64q", repository.URI, repository.Commit, w.Repository, w.Commit)
	}
	return nil
}
