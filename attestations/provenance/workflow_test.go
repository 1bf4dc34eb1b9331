package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
)

// What a certificate says becomes what a provenance says: they have the same
// fields.
var workflow = Workflow(bundle.Workflow{
	Commit: strings.Repeat("0a", 20), Config: "https://code.example.org/palisade/.ci/release.yml@refs/tags/v1.4.0", ConfigDigest: strings.Repeat("0a", 20),
	Issuer: "https://issuer.example.org", Ref: "refs/tags/v1.4.0", Repository: "https://code.example.org/palisade", Run: "https://code.example.org/palisade/runs/12/attempts/1",
	Runner: "github-hosted", Signer: "https://code.example.org/builders/.ci/build.yml@refs/tags/v3", SignerDigest: strings.Repeat("0b", 20), Trigger: "push",
})

func witnessed(w Workflow) (Builder, Run) {
	b, r := builder(), run()
	b.ID, r.InvocationID, r.Workflow = w.Builder(), w.Run, &w
	return b, r
}

func TestWorkflow(t *testing.T) {
	b, r := witnessed(workflow)
	data, err := intoto.Marshal(statement(t, sample(), b, r))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "workflow.json", data)
	p, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Run().Workflow; got == nil || *got != workflow {
		t.Errorf("read again it is %+v", got)
	}
	if err := p.Check(sample()); err != nil {
		t.Error(err)
	}
	if id := p.RunDetails.Builder.ID; id != "https://code.example.org/builders/.ci/build.yml" {
		t.Errorf("built by %s", id)
	}

	// Another run of the same workflow says the same; so does nobody else.
	other := workflow
	other.Run, other.Trigger = "https://code.example.org/palisade/runs/13/attempts/1", "workflow_dispatch"
	b, r = witnessed(other)
	if fields := p.Differs(parsed(t, sample(), b, r)); len(fields) > 0 {
		t.Errorf("of another run: %q", fields)
	}
	if fields := p.Differs(parsed(t, sample(), builder(), run())); !slices.Equal(fields, []string{"runDetails.builder.id"}) {
		t.Errorf("of a workstation: %q", fields)
	}
	image, records := sampleImage()
	s, err := ImageStatement(image, records, b, r)
	if err != nil {
		t.Fatal(err)
	}
	i, err := ParseImage(s)
	if err != nil || *i.Run().Workflow != other {
		t.Errorf("an image: %+v, %v", i.Run().Workflow, err)
	}
	if err := i.Check(image, records); err != nil {
		t.Error(err)
	}
}

// A workflow says all there is to say, and nothing else than the rest does.
func TestWorkflowRefuses(t *testing.T) {
	var form bytes.Buffer
	if err := json.Compact(&form, []byte(goldenText(t, "workflow.json"))); err != nil {
		t.Fatal(err)
	}
	whole := form.String()
	_, rest, _ := strings.Cut(whole, `"workflow":`)
	object, _, _ := strings.Cut(rest, "}")
	of := func(field, value string) string { return `"` + field + `":"` + value + `"` }
	type row struct{ name, old, new, says string }
	rows := []row{
		{"null", `"workflow":{`, `"workflow":null,"x":{`, "null"},
		{"nothing", object + "}", "{}", "internalParameters.workflow"},
		{"another commit than the repository's", of("commit", workflow.Commit), of("commit", strings.Repeat("0c", 20)), "repository"},
		{"a commit that is none", of("commit", workflow.Commit), of("commit", "main"), "commit"},
		{"another repository", of("repository", workflow.Repository), of("repository", "https://code.example.org/fork"), "repository"},
		{"another run", of("run", workflow.Run), of("run", workflow.Run+"0"), "invocationId"},
		{"another builder", of("id", workflow.Builder()), of("id", "https://code.example.org/palisade/.ci/release.yml"), "builder.id"},
		{"a workstation's builder", of("id", workflow.Builder()), of("id", builder().ID), "builder.id"},
		{"a signer of no ref", of("signer", workflow.Signer), of("signer", workflow.Builder()), "ref"},
		{"an issuer that is no address", of("issuer", workflow.Issuer), of("issuer", "issuer"), "issuer"},
		{"a trigger of two lines", of("trigger", "push"), of("trigger", `a\nb`), "trigger"},
		{"a long trigger", of("trigger", "push"), of("trigger", strings.Repeat("x", 1001)), "trigger"},
		{"no repository", `"uri":"git+https://code.example.org/palisade"`, `"uri":"git+https://code.example.org/other"`, "repository"},
		{"a field more", of("trigger", "push"), of("trigger", "push") + `,"actor":"x"`, "actor"},
	}
	for field := range strings.SplitSeq(strings.Trim(object, "{}"), ",") {
		name, _, _ := strings.Cut(strings.Trim(field, `"`), `"`)
		rows = append(rows,
			row{"without " + name, field, `"` + name + `":""`, name},
			row{"lacking " + name, object, strings.NewReplacer(field+",", "", ","+field, "").Replace(object), name})
	}
	if len(rows) != 14+2*11 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, tt := range rows {
		broken := strings.Replace(whole, tt.old, tt.new, 1)
		if broken == whole {
			t.Errorf("%s: nothing to replace", tt.name)
			continue
		}
		if _, err := read([]byte(broken)); !errors.Is(err, ErrProvenance) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.says)
		}
	}
	b, r := witnessed(workflow)
	r.Repository = Repository{}
	if _, err := Statement(sample(), b, r); !errors.Is(err, ErrInput) {
		t.Errorf("of an unknown repository: %v", err)
	}
}
