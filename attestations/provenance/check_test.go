package provenance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// A provenance holds against the record that it was made of, and each of these
// against none.
func TestCheckRefuses(t *testing.T) {
	subject := func(name, content string) intoto.Subject {
		return intoto.Subject{Name: name, Digest: intoto.Digests{"sha256": digestOf(content).Hex()}}
	}
	for _, tt := range []struct {
		name       string
		provenance func(*Provenance)
		record     func(*artifact.Record)
		want       error
		says       string
	}{
		{name: "one subject more", provenance: func(p *Provenance) { p.Subject = append(p.Subject, subject("beacon/evil", "evil")) }, want: ErrSubject, says: "evil"},
		{name: "one subject less", provenance: func(p *Provenance) { p.Subject = p.Subject[:2] }, want: ErrSubject, says: "beaconctl"},
		{name: "subjects in another order", provenance: func(p *Provenance) { p.Subject[1], p.Subject[2] = p.Subject[2], p.Subject[1] }, want: ErrSubject},
		{name: "a subject under another name", provenance: func(p *Provenance) { p.Subject[1].Name = "beacon/other" }, want: ErrSubject, says: "beacon/other"},
		{name: "a subject with another digest", provenance: func(p *Provenance) { p.Subject[1] = subject(p.Subject[1].Name, "x") }, want: ErrSubject},
		{name: "moved from another artifact", record: func(r *artifact.Record) { *r = vanilla() }, want: ErrSubject, says: "vanilla"},
		{name: "another artifact of that name", record: func(r *artifact.Record) { r.Digest = digestOf("x") }, want: ErrSubject},
		{name: "vanilla renamed to hardened", provenance: func(p *Provenance) { *p = parsed(t, vanilla(), builder(), run()) }, record: func(r *artifact.Record) {
			*r = vanilla()
			r.Variant = "hardened"
		}, want: ErrMismatch, says: "externalParameters.variant"},
		{name: "another version", record: func(r *artifact.Record) { r.Version = "1.3.0-palisade.1" }, want: ErrMismatch, says: "externalParameters.version"},
		{name: "another environment", record: func(r *artifact.Record) { r.Build.Env[2] = "GOFLAGS=-tags=x" }, want: ErrMismatch, says: "environment.GOFLAGS"},
		{name: "hermetic, of a record that is not", record: func(r *artifact.Record) { r.Build.Sandbox.Hermetic = false }, want: ErrMismatch, says: "internalParameters.hermetic"},
		{name: "a patch left out", record: func(r *artifact.Record) { r.Patched[1].Patches = nil }, want: ErrMismatch, says: "resolvedDependencies[toolkit/v2.0.1/0001-defaults.patch]"},
		{name: "a module more", record: func(r *artifact.Record) {
			r.Binaries[0].Modules = append(r.Binaries[0].Modules, module1("example.org/zoo", "v1.0.0", true))
		}, want: ErrMismatch, says: "zoo"},
		{name: "another hash of a module", provenance: func(p *Provenance) {
			i := slices.IndexFunc(p.BuildDefinition.ResolvedDependencies, func(r intoto.Resource) bool { return strings.Contains(r.Name, "clock") })
			p.BuildDefinition.ResolvedDependencies[i].Digest["dirHash"] = digestOf("x").Hex()
		}, want: ErrMismatch, says: "resolvedDependencies[pkg:golang/example.org/clock@v0.9.0].digest.dirHash"},
		{name: "another dependency under the URI of one", provenance: func(p *Provenance) {
			p.insert(func(r intoto.Resource) bool {
				return hasRole(r, RoleEmbedded) && strings.HasPrefix(r.URI, "pkg:github/")
			}, func(r *intoto.Resource) { r.Name = "a" + r.Name })
		}, want: ErrMismatch, says: "glyphs"},
		{name: "another document", record: func(r *artifact.Record) { r.Documents[0].Digest = digestOf("x") }, want: ErrMismatch, says: "byproducts"},
		{name: "a record that says two things", record: func(r *artifact.Record) { r.Source.Sum = h1Of("x") }, want: ErrInput, says: "two digests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, r := parsed(t, sample(), builder(), run()), clone(t, sample())
			if tt.provenance != nil {
				tt.provenance(&p)
			}
			if tt.record != nil {
				tt.record(&r)
			}
			if err := p.validate(); err != nil && tt.want == ErrMismatch {
				t.Fatalf("Parse would refuse it: %v", err)
			}
			err := p.Check(r)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Check = %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) || len(err.Error()) > 2000 {
				t.Errorf("%v\ndoes not say %q, or too much", err, tt.says)
			}
		})
	}
}

// insert adds a changed copy of a dependency, where the order has its place.
func (p *Provenance) insert(which func(intoto.Resource) bool, change func(*intoto.Resource)) {
	all := p.BuildDefinition.ResolvedDependencies
	made := all[slices.IndexFunc(all, which)]
	change(&made)
	p.BuildDefinition.ResolvedDependencies = sorted(append(all, made))
}

// Who built, and from which state of the repository, is for a policy to judge.
func TestCheckLeavesToPolicy(t *testing.T) {
	b, with := builder(), run()
	b.ID, with.Repository, with.Cache = "https://ci.example.org/workflow", Repository{}, Fresh
	p := parsed(t, sample(), b, with)
	if err := p.Check(sample()); err != nil {
		t.Error(err)
	}
	want := []string{
		"buildDefinition.internalParameters.cache",
		"buildDefinition.resolvedDependencies[git+https://code.example.org/palisade].annotations.clean",
		"buildDefinition.resolvedDependencies[git+https://code.example.org/palisade].annotations.roles",
		"buildDefinition.resolvedDependencies[git+https://code.example.org/palisade].digest.gitCommit",
		"buildDefinition.resolvedDependencies[git+https://code.example.org/palisade].name",
		"buildDefinition.resolvedDependencies[git+https://code.example.org/palisade].uri",
		"runDetails.builder.id",
	}
	if got := p.Differs(parsed(t, sample(), builder(), run())); !slices.Equal(got, want) {
		t.Errorf("Differs = %q, want %q", got, want)
	}
}

func TestViews(t *testing.T) {
	r := sample()
	p := parsed(t, r, builder(), run())
	for _, patched := range r.Patched {
		if got, err := p.Patches(nameOf(patched.From)); err != nil || !slices.Equal(got, patched.Patches) {
			t.Errorf("Patches(%s) = %v, %v, want %v", nameOf(patched.From), got, err, patched.Patches)
		}
	}
	for role, want := range map[Role]string{
		RoleSource:  "[example.org/Beacon@v1.2.0]",
		RolePatched: "[example.org/Beacon@v1.2.0 example.org/toolkit/v2@v2.0.1+incompatible]",
		RoleSealed:  "[example.org/Beacon@v1.2.1-0.palisade.1 example.org/toolkit/v2@v2.0.2-0.palisade.1]",
		RoleLinked:  "[example.org/Beacon@v1.2.1-0.palisade.1 example.org/clock@v0.9.0 example.org/fork@v0.3.0 example.org/toolkit/v2@v2.0.2-0.palisade.1]",
		"trusted":   "[]",
	} {
		modules, err := p.Modules(role)
		names := []string{}
		for _, m := range modules {
			names = append(names, nameOf(m))
			if m.Sum != h1Of(m.Path+m.Version) {
				t.Errorf("%s has the sum %s", nameOf(m), m.Sum)
			}
			if role != RoleSealed && !strings.Contains(m.Version, "palisade") && (m.Zip == nil || *m.Zip != digestOf("zip of "+m.Path+m.Version)) {
				t.Errorf("%s has the zip %v", nameOf(m), m.Zip)
			}
		}
		if got := fmt.Sprint(names); err != nil || got != want {
			t.Errorf("Modules(%s) = %s, %v, want %s", role, got, err, want)
		}
	}
	if got, ok := p.Repository(); !ok || got != run().Repository {
		t.Errorf("Repository = %v, %v", got, ok)
	}
	none := run()
	none.Repository = Repository{}
	if got, ok := parsed(t, r, builder(), none).Repository(); ok || got.Clean {
		t.Errorf("Repository = %v, %v, want none", got, ok)
	}
}
