package reproduce

import (
	"reflect"
	"testing"

	"palisade/attestations/provenance"
)

// What sandboxes may differ in is the machine's, field by field, and no field
// that is none of these.
func TestSandboxes(t *testing.T) {
	local := provenance.Sandbox{Hermetic: true, Namespaces: []string{"mnt", "net"}}
	worker := provenance.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "w1"}
	for _, tt := range []struct {
		name           string
		given, rebuilt provenance.Sandbox
		want           string
	}{
		{"the same", local, local, ""},
		{"fewer namespaces", local, provenance.Sandbox{Hermetic: true, Namespaces: []string{"net"}}, "sandbox of the compiler: hermetic by mnt, net there, hermetic by net here"},
		{"none", local, provenance.Sandbox{Reason: "refused"}, "sandbox of the compiler: hermetic by mnt, net there, not hermetic (refused) here"},

		{"given on a worker", worker, local, ""},
		{"given on a worker, and none here", worker, provenance.Sandbox{Reason: "refused"}, "sandbox of the compiler: hermetic, as buildkit promises of worker w1 there, not hermetic (refused) here"},
		{"given on a worker that promised nothing", provenance.Sandbox{Reason: "x", Executor: "buildkit", Worker: "w1"}, provenance.Sandbox{Reason: "refused"}, ""},
		// Where it was rebuilt nothing of the surroundings was varied.
		{"rebuilt on a worker", local, worker, "sandbox of the compiler: hermetic by mnt, net there, hermetic, as buildkit promises of worker w1 here"},
		{"both on workers", worker, provenance.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "w2"}, "sandbox of the compiler: hermetic, as buildkit promises of worker w1 there, hermetic, as buildkit promises of worker w2 here"},
		{"rebuilt on a worker, of no sandbox", provenance.Sandbox{Reason: "x"}, worker, "sandbox of the compiler: not hermetic (x) there, hermetic, as buildkit promises of worker w1 here"},

		{"given without one", provenance.Sandbox{Reason: "x"}, local, ""},
		{"both without one", provenance.Sandbox{Reason: "x"}, provenance.Sandbox{Reason: "y"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given, rebuilt := example(t, "build.md").Archive, example(t, "build.md").Archive
			sandbox(tt.given)(t, given)
			sandbox(tt.rebuilt)(t, rebuilt)
			matches(t, ArchiveChanges(*given, *rebuilt), tt.want)
		})
	}
	// Whoever adds a field has to say here whose it is.
	if n := reflect.TypeFor[provenance.Sandbox]().NumField(); n != 5 {
		t.Errorf("a sandbox has %d fields: is the new one the machine's (onMachine), or the definition's?", n)
	}
}

// One that is there on one side alone is no sandbox of a machine.
func TestSandboxesOfOneSide(t *testing.T) {
	for _, s := range []provenance.Sandbox{{Reason: "x"}, {Hermetic: true, Executor: "buildkit", Worker: "w1"}} {
		given, rebuilt := example(t, "build.md").Archive, example(t, "build.md").Archive
		sandbox(s)(t, given)
		delete(rebuilt.BuildDefinition.InternalParameters.Sandboxes, "compiler")
		if got := ArchiveChanges(*given, *rebuilt); len(got) != 1 || got[0].Here != nothing {
			t.Errorf("got %q", got)
		}
	}
}
