package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/intoto"
)

func goldenText(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// read is how a statement reaches Parse, out of the bytes that were signed.
func read(data []byte) (Provenance, error) {
	s, err := intoto.Parse(data)
	if err != nil {
		return Provenance{}, err
	}
	return Parse(s)
}

// Each edit of a good provenance makes it one that is refused, for its own
// reason. What an edit leaves behind is well-formed JSON but for the first.
func TestParseRefuses(t *testing.T) {
	const clock = `"name":"example.org/clock@v0.9.0"`
	for _, tt := range []struct {
		name, old, new string
		want           error
		says           string
	}{
		{"a key twice", `"cache":"shared"`, `"cache":"shared","cache":"fresh"`, intoto.ErrDuplicateKey, "cache"},
		{"another predicate", `"predicateType":"https://slsa.dev/provenance/v1"`, `"predicateType":"https://slsa.dev/provenance/v0.2"`, ErrPredicateType, "v0.2"},
		{"a predicate type that only begins like it", `"predicateType":"https://slsa.dev/provenance/v1"`, `"predicateType":"https://slsa.dev/provenance/v1.0"`, ErrPredicateType, "v1.0"},
		{"another build type", `predicates/build/v1`, `predicates/build/v2`, ErrBuildType, "v2"},
		{"another build type, with fields of its own", `"buildType":"https://palisade.example/predicates/build/v1","externalParameters":{`, `"buildType":"https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1","externalParameters":{"workflow":{},`, ErrBuildType, "workflow"},
		{"no build type", `"buildType":"https://palisade.example/predicates/build/v1",`, ``, ErrBuildType, `""`},
		{"unknown parameter", `"component":"beacon"`, `"component":"beacon","flags":"-tags=evil"`, intoto.ErrUnknownKey, "flags"},
		{"unknown field", `"runDetails":{`, `"runDetails":{"extra":1,`, intoto.ErrUnknownKey, "extra"},
		{"field in other capitals", `"hermetic":true,"sandboxes"`, `"Hermetic":true,"sandboxes"`, intoto.ErrUnknownKey, "Hermetic"},
		{"unknown field of a dependency", clock, `"content":"eA==", ` + clock, intoto.ErrUnknownKey, "content"},
		{"annotation that is no text", `"tool":"go"`, `"tool":1`, intoto.ErrValue, "string"},
		{"null", `"version":"1.2.0-palisade.1"`, `"version":null`, intoto.ErrValue, "null"},
		{"missing field", `"hermetic":true,"sandboxes"`, `"sandboxes"`, ErrProvenance, "hermetic"},
		{"missing metadata", `"invocationId":"3b241101-e2bb-4255-8caf-4136c566a962",`, ``, ErrProvenance, "invocationId"},
		{"empty field that would be left out", clock, `"mediaType":"", ` + clock, ErrProvenance, "form"},
		{"list in place of a word", `"cache":"shared"`, `"cache":["shared"]`, intoto.ErrValue, "cache"},
		{"no component", `"component":"beacon"`, `"component":""`, ErrProvenance, "component"},
		{"a component that moves the cursor", `"component":"beacon"`, `"component":"\u001b[2Kbeacon"`, ErrProvenance, "component"},
		{"a version that reads backwards", `"version":"1.2.0-palisade.1"`, `"version":"1.2.0\u202e"`, ErrProvenance, "version"},
		{"malformed platform", `"linux/amd64"`, `"linux"`, intoto.ErrValue, "linux"},
		{"malformed digest of the recipe", `"recipe":"sha256:`, `"recipe":"sha1:`, intoto.ErrValue, "sha256"},
		{"unknown cache", `"cache":"shared"`, `"cache":"warm"`, ErrProvenance, "warm"},
		{"hermetic, though a sandbox was not", `"compiler":{"hermetic":true`, `"compiler":{"hermetic":false`, ErrProvenance, "sandboxes"},
		{"not hermetic, though every sandbox was", `"hermetic":true,"sandboxes"`, `"hermetic":false,"sandboxes"`, ErrProvenance, "sandboxes"},
		{"sandbox of nobody", `"interface":{`, `"linker":{`, ErrProvenance, "linker"},
		{"compiler without a sandbox", `"compiler":{`, `"interface2":{`, ErrProvenance, "compiler"},
		{"fraction of a second since 1970", `1700000000`, `1700000000.5`, intoto.ErrValue, "number"},
		{"seconds in another form", `1700000000`, `17e8`, intoto.ErrValue, "number"},
		{"before 1970", `1700000000`, `-1`, ErrProvenance, "sourceDateEpoch"},
		{"dependency without its hash", `"digest":{"dirHash":"adeddd94f32f306c3a0715b3b88f883b83f419fc97ac8b859e4167b4204e9093",`, `"digest":{`, ErrProvenance, "dirHash"},
		{"dirHash in capitals", `adeddd94f32f306c`, `ADEDDD94F32F306C`, intoto.ErrDigest, "dirHash"},
		{"unknown algorithm", `"dirHash":"adeddd`, `"dirHash1":"adeddd`, intoto.ErrDigest, "dirHash1"},
		{"package URL of another module", `"uri":"pkg:golang/example.org/clock@v0.9.0"`, `"uri":"pkg:golang/example.org/clock@v0.9.1"`, ErrProvenance, "clock"},
		{"package URL that is not canonical", `v2.0.1%2Bincompatible`, `v2.0.1%2bincompatible`, ErrProvenance, "toolkit"},
		{"dependency of no role", `"roles":"linked"`, `"roles":""`, ErrProvenance, "roles"},
		{"unknown role", `"roles":"linked"`, `"roles":"linked,trusted"`, ErrProvenance, "trusted"},
		{"roles out of order", `"roles":"interface,patched,source"`, `"roles":"patched,interface,source"`, ErrProvenance, "roles"},
		{"role twice", `"roles":"interface,patched,source"`, `"roles":"interface,patched,source,source"`, ErrProvenance, "roles"},
		{"unknown annotation", `"roles":"linked"`, `"note":"fine","roles":"linked"`, ErrProvenance, "annotations"},
		{"tool without a name", `"tool":"go"`, `"tool":""`, ErrProvenance, "annotations"},
		{"Go by another name", `"tool":"go"`, `"tool":"gcc"`, ErrProvenance, "Go toolchain"},
		{"Go twice", `"tool":"node"`, `"tool":"go"`, ErrProvenance, "two toolchains"},
		{"file of the machine by the name of another thing", `"name":"/lib64/`, `"name":"a/lib64/`, ErrProvenance, "absolute"},
		{"patch by the name of a file of the machine", `"name":"beacon/v1.2.0/0001`, `"name":"/patches/0001`, ErrProvenance, "absolute"},
		{"file of the machine as a linked module", `"roles":"host"`, `"roles":"linked"`, ErrProvenance, "linked"},
		{"no source", `"roles":"interface,patched,source"`, `"roles":"interface,patched"`, ErrProvenance, "source"},
		{"interface from nowhere", `"roles":"interface,patched,source"`, `"roles":"patched,source"`, ErrProvenance, "interface"},
		{"sealed module of what was not patched", `"from":"example.org/Beacon@v1.2.0"`, `"from":"example.org/Beacon@v1.2.1"`, ErrProvenance, "not patched"},
		{"two sealed modules of one", `"from":"example.org/Beacon@v1.2.0"`, `"from":"example.org/toolkit/v2@v2.0.1+incompatible"`, ErrProvenance, "twice"},
		{"patch of what was not patched", `"module":"example.org/toolkit/v2@v2.0.1+incompatible"`, `"module":"example.org/clock@v0.9.0"`, ErrProvenance, "no place"},
		{"patches with a gap", `"position":"2"`, `"position":"3"`, ErrProvenance, "gap"},
		{"two patches in one place", `"position":"2"`, `"position":"1"`, ErrProvenance, "gap"},
		{"place in another form", `"position":"2"`, `"position":"02"`, ErrProvenance, "no place"},
		{"embedded from a module that is not there", `"in":"example.org/Beacon","roles":"embedded,installed"`, `"in":"example.org/beacon","roles":"embedded,installed"`, ErrProvenance, "not there"},
		{"commit by another address", `"uri":"git+https://git.example.org/lights/lamp@4567`, `"uri":"git+https://git.example.org/lights/lamp@5567`, ErrProvenance, "its address is not git+https://"},
		{"commit by an address with more", `"uri":"git+https://git.example.org/beacon@`, `"uri":"git+https://git.example.org/beacon?@`, ErrProvenance, "its address is not git+https://"},
		{"commit of no version", `"name":"lights/lamp@1.0.0","uri":"git`, `"name":"lights/lamp","uri":"git`, ErrProvenance, "its name is not that of a version"},
		{"commit that is linked", `"annotations":{"roles":"commit"}`, `"annotations":{"roles":"linked"}`, ErrProvenance, "roles"},
		{"npm package without sha512", `"annotations":{"roles":"installed"},"digest":{"sha512":"`, `"annotations":{"roles":"installed"},"digest":{"sha256":"`, intoto.ErrDigest, "sha256"},
		{"tree neither clean nor not", `"clean":"true"`, `"clean":"yes"`, ErrProvenance, "clean"},
		{"repository by another name", `"name":"palisade"`, `"name":"upstream"`, ErrProvenance, "name"},
		{"repository over plain HTTP", `git+https://code`, `git+http://code`, ErrProvenance, "git+https"},
		{"dependencies out of order", `"uri":"pkg:npm/vite@7.1.0"`, `"uri":"pkg:npm/aite@7.1.0"`, ErrProvenance, "out of order"},
		{"builder without an id", `"id":"https://palisade.example/builders/workstation/v1"`, `"id":""`, ErrProvenance, "builder.id"},
		{"builder's host in capitals", `"id":"https://palisade.example`, `"id":"https://Palisade.example`, ErrProvenance, "lower case"},
		{"byproduct of another type", `"mediaType":"application/spdx+json"`, `"mediaType":"text/html"`, ErrProvenance, "byproducts"},
		{"time with an offset", `"startedOn":"2026-11-22T06:30:01Z"`, `"startedOn":"2026-11-22T06:30:01+00:00"`, ErrProvenance, "form"},
		{"time with a fraction", `"startedOn":"2026-11-22T06:30:01Z"`, `"startedOn":"2026-11-22T06:30:01.5Z"`, ErrProvenance, "whole seconds"},
		{"no time", `"startedOn":"2026-11-22T06:30:01Z"`, `"startedOn":"yesterday"`, intoto.ErrValue, "yesterday"},
		{"an end before the start", `"finishedOn":"2026-11-22T06:31:31Z"`, `"finishedOn":"2026-11-22T06:30:00Z"`, ErrProvenance, "one after the other"},
		{"escape where none is needed", `"variant":"hardened"`, `"variant":"\u0068ardened"`, ErrProvenance, "form"},
		{"subject with another digest", `"name":"beacon-1.2.0-palisade.1.linux-amd64.tar.gz"}`, `"name":"beacon-1.2.0-palisade.1.linux-amd64.tar.gz"},{"digest":{"sha256":"0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3","gitCommit":"0123456789abcdef0123456789abcdef01234567"},"name":"x/y"}`, ErrProvenance, "subject"},
		{"two archives", `"name":"beacon-1.2.0-palisade.1.linux-amd64/beacon"`, `"name":"beacon.tar.gz"`, ErrProvenance, "subject"},
		{"archive without a name", `,"name":"beacon-1.2.0-palisade.1.linux-amd64.tar.gz"}`, `}`, ErrProvenance, "subject"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var compact bytes.Buffer
			if err := json.Compact(&compact, []byte(goldenText(t, "hardened.json"))); err != nil {
				t.Fatal(err)
			}
			good := compact.String()
			broken := strings.Replace(good, tt.old, tt.new, 1)
			if broken == good {
				t.Fatal("the edit changes nothing")
			}
			p, err := read([]byte(broken))
			if !errors.Is(err, tt.want) || p.Subject != nil {
				t.Fatalf("= %+v, %v, want %v", p, err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 1000 {
				t.Errorf("%v\ndoes not say %q, or too much", err, tt.says)
			}
		})
	}
}

// What Parse accepts, Statement would have written: it has one form, and every
// rule of validate holds.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"hardened.json", "vanilla.json", "workflow.json"} {
		text := goldenText(f, name)
		f.Add([]byte(text))
		f.Add([]byte(strings.Replace(text, `"roles": "linked"`, `"roles": "linked,source"`, 1)))
		f.Add([]byte(strings.Replace(text, `"position": "1"`, `"position": "-1"`, 1)))
		f.Add([]byte(strings.Replace(text, `Z"`, `.000Z"`, 1)))
	}
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[{"digest":{"sha256":"` + digestOf("x").Hex() + `"}}],"predicate":{"buildDefinition":{"buildType":"` + BuildType + `"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := intoto.Parse(data)
		if err != nil {
			return
		}
		p, err := Parse(s)
		if err != nil {
			if p.Subject != nil || !errors.Is(err, ErrProvenance) && !errors.Is(err, ErrPredicateType) && !errors.Is(err, ErrBuildType) {
				t.Errorf("refused with %+v, %v", p, err)
			}
			return
		}
		s.Predicate, err = encode(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := intoto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		q, err := read(again)
		if err != nil || len(p.Differs(q)) > 0 {
			t.Errorf("read again it differs: %v, %v", p.Differs(q), err)
		}
		third, err := intoto.Marshal(statementOf(t, q))
		if err != nil || !bytes.Equal(third, again) {
			t.Errorf("it has two forms: %v", err)
		}
		if _, err := p.Modules(RoleLinked); err != nil {
			t.Error(err)
		}
		for _, m := range p.Dependencies(RolePatched) {
			if _, err := p.Patches(m.Name); err != nil {
				t.Error(err)
			}
		}
	})
}

func statementOf(t *testing.T, p Provenance) intoto.Statement {
	t.Helper()
	predicate, err := encode(p)
	if err != nil {
		t.Fatal(err)
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: p.Subject, Predicate: predicate}
}
