package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// Statement is the provenance of the artifact that r is of. It refuses
// (ErrInput) what it could not say in full.
func Statement(r artifact.Record, b Builder, run Run) (intoto.Statement, error) {
	p, err := observed(r, b, run)
	if err == nil {
		err = p.validate()
	}
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("writing the provenance of %s: %w: %w", r.Name, ErrInput, err)
	}
	predicate, err := encode(p)
	if err != nil {
		return intoto.Statement{}, fmt.Errorf("writing the provenance of %s: %w: %w", r.Name, ErrInput, err)
	}
	return intoto.Statement{Type: intoto.Type, PredicateType: PredicateType, Subject: p.Subject, Predicate: predicate}, nil
}

// encode writes the compact form of what intoto.Marshal indents: the keys of
// every type here are sorted.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}

// observed is the provenance as the record gives it.
func observed(r artifact.Record, b Builder, run Run) (Provenance, error) {
	subjects, err := Subjects(r)
	if err != nil {
		return Provenance{}, err
	}
	environment, err := environmentOf(r.Build.Env)
	if err != nil {
		return Provenance{}, err
	}
	sandboxes, err := sandboxesOf(r)
	if err != nil {
		return Provenance{}, err
	}
	resolved, err := resolve(r, run.Repository)
	if err != nil {
		return Provenance{}, err
	}
	return Provenance{
		Subject: subjects,
		BuildDefinition: BuildDefinition{
			BuildType: BuildType,
			ExternalParameters: External{
				Component: r.Component, Version: r.Version, Platform: r.Platform, Variant: r.Variant,
				Recipe: r.Recipe, Distribution: run.Distribution,
			},
			InternalParameters: Internal{
				Cache: run.Cache, Command: append([]string{}, r.Build.Args...), Environment: environment,
				Hermetic: allHermetic(sandboxes), Sandboxes: sandboxes, SourceDateEpoch: r.Epoch,
				Workflow: run.Workflow,
			},
			ResolvedDependencies: resolved,
		},
		RunDetails: detailsOf(b, run, r.Documents),
	}, nil
}

// detailsOf is what belongs to one execution.
func detailsOf(b Builder, run Run, documents []artifact.File) RunDetails {
	return RunDetails{
		Builder:    b.Sorted(),
		Byproducts: documentsOf(documents),
		Metadata: Metadata{
			InvocationID: run.InvocationID,
			StartedOn:    run.Started.UTC().Truncate(time.Second),
			FinishedOn:   run.Finished.UTC().Truncate(time.Second),
		},
	}
}

// Sorted is a copy of b with its dependencies in the order in which they are
// written.
func (b Builder) Sorted() Builder {
	b.Dependencies = sorted(b.Dependencies)
	b.Version = maps.Clone(b.Version)
	return b
}

// Subjects are the archive and the binaries in it, by the names of members. It
// refuses a binary that the archive does not hold.
func Subjects(r artifact.Record) ([]intoto.Subject, error) {
	subjects := []intoto.Subject{{Name: r.Name, Digest: sha256Of(r.Digest)}}
	for _, b := range r.Binaries {
		i := slices.IndexFunc(r.Members, func(m artifact.File) bool { return path.Base(m.Name) == b.Name && m.Digest == b.Digest })
		if i < 0 {
			return nil, fmt.Errorf("the archive does not hold binary %s with its digest: build again", b.Name)
		}
		subjects = append(subjects, intoto.Subject{Name: r.Members[i].Name, Digest: sha256Of(b.Digest)})
	}
	return subjects, nil
}

func sha256Of(d artifact.Digest) intoto.Digests { return intoto.Digests{"sha256": d.Hex()} }

func environmentOf(list []string) (map[string]string, error) {
	environment := make(map[string]string, len(list))
	for _, entry := range list {
		name, value, ok := strings.Cut(entry, "=")
		if _, twice := environment[name]; !ok || twice {
			return nil, fmt.Errorf("the environment of the compiler has %.200q twice or without a value", name)
		}
		environment[name] = value
	}
	return environment, nil
}

// sandboxesOf is what each sandbox of the build said.
func sandboxesOf(r artifact.Record) (map[string]Sandbox, error) {
	said := map[string]Sandbox{compiler: sandboxOf(r.Build.Sandbox)}
	switch {
	case r.UI == nil || r.UI.Kind == "bundle": // nothing ran
	case r.UI.Kind != "pnpm" && r.UI.Kind != "elm":
		return nil, fmt.Errorf("no way to make a web interface is called %.40q", r.UI.Kind)
	case r.UI.Report == nil:
		return nil, fmt.Errorf("the web interface was built, and its sandbox said nothing: build again")
	default:
		said[ui] = sandboxOf(*r.UI.Report)
	}
	return said, nil
}

func sandboxOf(s artifact.Sandbox) Sandbox {
	return Sandbox{Hermetic: s.Hermetic, Namespaces: s.Namespaces, Reason: s.Reason, Executor: s.Executor, Worker: s.Worker}
}

func allHermetic(sandboxes map[string]Sandbox) bool {
	for _, s := range sandboxes {
		if !s.Hermetic {
			return false
		}
	}
	return true
}

// spdxType is the registered media type of an SPDX document in JSON.
const spdxType = "application/spdx+json"

func documentsOf(list []artifact.File) []intoto.Resource {
	documents := []intoto.Resource{}
	for _, d := range list {
		documents = append(documents, intoto.Resource{Name: d.Name, MediaType: spdxType, Digest: sha256Of(d.Digest)})
	}
	return sorted(documents)
}

// sorted is a copy of list, never nil, in the order in which resources are
// written.
func sorted(list []intoto.Resource) []intoto.Resource {
	list = append([]intoto.Resource{}, list...)
	slices.SortFunc(list, order)
	return list
}

func order(a, b intoto.Resource) int {
	if c := strings.Compare(a.URI, b.URI); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}
