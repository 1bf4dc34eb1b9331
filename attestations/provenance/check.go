package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// Check holds p against the record of an artifact: its subjects are exactly
// those that the record names (ErrSubject), and every field that Statement
// takes from a record says what this one does (ErrMismatch). What Statement
// takes from a Builder and a Run is not compared with anything; whether it is
// acceptable is for a policy to say. A record of which there can be no
// provenance is refused too (ErrInput). p has to come from Parse.
func (p Provenance) Check(r artifact.Record) error {
	q, err := observed(r, p.RunDetails.Builder, p.Run())
	if err == nil {
		// Most are equal, and it takes a while to tell where two are not.
		if reflect.DeepEqual(p, q) {
			return nil
		}
		err = q.validate()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	if !slices.EqualFunc(p.Subject, q.Subject, equalSubjects) {
		return fmt.Errorf("%w: it is about %s; the record of %s is about %s", ErrSubject, list(p.Subject), r.Name, list(q.Subject))
	}
	// The verdict is by bytes; the fields explain it.
	said, err := encode(p)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProvenance, err)
	}
	if form, err := encode(q); err == nil && bytes.Equal(said, form) {
		return nil
	}
	fields := p.Differs(q)
	return fmt.Errorf("%w: of %s it differs in %d fields, %.300s", ErrMismatch, r.Name, len(fields), strings.Join(fields, ", "))
}

func equalSubjects(a, b intoto.Subject) bool {
	return a.Name == b.Name && maps.Equal(a.Digest, b.Digest)
}

func list(subjects []intoto.Subject) string {
	var text []string
	for _, s := range subjects[:min(len(subjects), 5)] {
		text = append(text, fmt.Sprintf("%.100q %.64s", s.Name, s.Digest["sha256"]))
	}
	if len(subjects) > 5 {
		text = append(text, fmt.Sprintf("and %d more", len(subjects)-5))
	}
	return strings.Join(text, ", ")
}

// Run is the Run that p was made with.
func (p Provenance) Run() Run {
	d := p.BuildDefinition
	return runOf(p.RunDetails.Metadata, d.ExternalParameters.Distribution, d.InternalParameters.Cache, d.InternalParameters.Workflow, d.ResolvedDependencies)
}

func runOf(m Metadata, distribution artifact.Digest, cache Cache, w *Workflow, dependencies []intoto.Resource) Run {
	run := Run{InvocationID: m.InvocationID, Started: m.StartedOn, Finished: m.FinishedOn, Distribution: distribution, Cache: cache, Workflow: w}
	run.Repository, _ = repositoryIn(dependencies)
	return run
}

// mayDiffer is what is particular to one execution of a build, with what stands
// below workflowField.
var mayDiffer = []string{"runDetails.metadata.invocationId", "runDetails.metadata.startedOn", "runDetails.metadata.finishedOn"}

// Differs tells in which fields p and q differ, sorted: none for two builds of
// the same artifact. invocationId, startedOn, finishedOn and the workflow are not
// looked at.
// A field is named by its keys, with dots between; an element of a list by its
// URI or name, in brackets, and the second of that name by " 2" behind it.
func (p Provenance) Differs(q Provenance) []string {
	return differences(fieldsOf(p.Subject, p), fieldsOf(q.Subject, q))
}

func differences(a, b map[string]string) []string {
	differ := map[string]bool{}
	for _, pair := range [][2]map[string]string{{a, b}, {b, a}} {
		for field, value := range pair[0] {
			if other, ok := pair[1][field]; !ok || other != value {
				differ[field] = true
			}
		}
	}
	for _, field := range mayDiffer {
		delete(differ, field)
	}
	maps.DeleteFunc(differ, func(field string, _ bool) bool { return strings.HasPrefix(field, workflowField) })
	return slices.Sorted(maps.Keys(differ))
}

// fieldsOf is every value of the provenance p in JSON, by where it stands.
func fieldsOf(subjects []intoto.Subject, p any) map[string]string {
	all := map[string]string{}
	for i, s := range subjects {
		// The order of subjects matters: the archive is the first.
		collect(all, fmt.Sprintf("subject[%d]", i), map[string]any{"name": s.Name, "digest": any(s.Digest)})
	}
	data, err := encode(p)
	var tree map[string]any
	if err == nil {
		err = json.Unmarshal(data, &tree)
	}
	if err != nil { // a zero Digest, in a Provenance that Parse did not make
		all["(malformed)"] = err.Error()
	}
	for key, value := range tree {
		collect(all, key, value)
	}
	return all
}

func collect(all map[string]string, at string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			collect(all, at+"."+key, v)
		}
		if len(value) > 0 {
			return
		}
	case []any:
		named := map[string]int{}
		for _, v := range value {
			if object, ok := v.(map[string]any); ok {
				name, _ := object["uri"].(string)
				if name == "" {
					name, _ = object["name"].(string)
				}
				if named[name]++; named[name] > 1 {
					name += fmt.Sprint(" ", named[name])
				}
				collect(all, at+"["+name+"]", object)
			}
		}
		if len(named) > 0 {
			return
		}
	}
	text, _ := json.Marshal(value) // what was read from JSON
	all[at] = string(text)
}
