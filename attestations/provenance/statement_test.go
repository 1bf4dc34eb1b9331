package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

// What is written is read again, by its own form, and holds against the
// record that it was made of.
func TestStatement(t *testing.T) {
	unversioned := run()
	unversioned.Repository, unversioned.Cache = Repository{}, Fresh
	for _, tt := range []struct {
		name   string
		record artifact.Record
		run    Run
	}{{"hardened.json", sample(), run()}, {"vanilla.json", vanilla(), unversioned}} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := intoto.Marshal(statement(t, tt.record, builder(), tt.run))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name, data)
			s, err := intoto.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Check(tt.record); err != nil {
				t.Error(err)
			}
			// Also as release.json gives the record.
			if err := p.Check(clone(t, tt.record)); err != nil {
				t.Error(err)
			}
		})
	}
}

// The caller's values are left as they are.
func TestStatementLeavesItsInput(t *testing.T) {
	r, b := sample(), builder()
	statement(t, r, b, run())
	if !reflect.DeepEqual(r, sample()) || !reflect.DeepEqual(b, builder()) {
		t.Error("Statement changed what it was given")
	}
}

// leaves is every value of a JSON document by where it stands, told apart from
// Differs.
func leaves(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(at+"/"+key, value)
			}
		case []any:
			for i, value := range v {
				walk(at+"/"+string(rune('0'+i%10))+"of"+string(rune('0'+len(v)%10)), value)
			}
		default:
			all[at] = v
		}
	}
	walk("", tree)
	return all
}

// Two builds of the same artifact differ in invocationId, startedOn and
// finishedOn, in no other byte.
func TestOnlyTheseDiffer(t *testing.T) {
	first, second := run(), run()
	second.InvocationID, second.Started, second.Finished = "another", first.Started.Add(time.Hour), first.Finished.Add(2*time.Hour)
	warm := sample()
	warm.Timing = []artifact.Stage{{Name: "compiling", Seconds: 0.01, Cached: true}}
	var data [2][]byte
	for i, s := range []intoto.Statement{statement(t, sample(), builder(), first), statement(t, warm, builder(), second)} {
		var err error
		if data[i], err = intoto.Marshal(s); err != nil {
			t.Fatal(err)
		}
	}
	a, b := leaves(t, data[0]), leaves(t, data[1])
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if a[key] != b[key] {
			differ = append(differ, key)
		}
	}
	want := []string{"/predicate/runDetails/metadata/finishedOn", "/predicate/runDetails/metadata/invocationId", "/predicate/runDetails/metadata/startedOn"}
	if !slices.Equal(differ, want) || len(a) != len(b) {
		t.Errorf("they differ in %q, want %q", differ, want)
	}
	if fields := parsed(t, sample(), builder(), first).Differs(parsed(t, warm, builder(), second)); len(fields) != 0 {
		t.Errorf("Differs = %q, want none", fields)
	}
}

// notSaid is every field of a record that a provenance leaves out, and why.
var notSaid = map[string]string{
	"Size":                    "the digest says it",
	"Source.Zip?":             "another mention of the module has it",
	"Patched.From.Zip?":       "likewise",
	"UI.Origin.Zip?":          "likewise",
	"Binaries.Modules.Zip?":   "likewise",
	"Binaries.Main.Zip?":      "likewise",
	"UpstreamVersion":         "the source's version says it",
	"Git.Tag":                 "the recipe names it",
	"Git.SignedBy":            "the recipe names who may have",
	"UI.Commits.Tag":          "likewise",
	"UI.Commits.SignedBy":     "likewise",
	"Revision":                "it is in the command",
	"Timing":                  "it is particular to one execution",
	"Timing.Name":             "likewise",
	"Timing.Seconds":          "likewise",
	"Timing.Cached":           "likewise",
	"Patched.Added":           "made in the build; the sealed module's hash holds them",
	"Patched.Added.Name":      "likewise",
	"Patched.Added.Mode":      "likewise",
	"Patched.Added.Size":      "likewise",
	"Patched.Added.Digest":    "likewise",
	"UI.Note":                 "for people",
	"UI.Host.Mode":            "the digest is what ran",
	"UI.Host.Size":            "the digest says it",
	"Embedded.Evidence":       "the bill of materials says it, whose digest is here",
	"Embedded.Note":           "likewise",
	"Embedded.Files":          "likewise",
	"Embedded.Files[]":        "likewise",
	"Embedded.Requires":       "likewise",
	"Embedded.Requires[]":     "likewise",
	"Toolchains.Version":      "the package's version says it",
	"Binaries.Size":           "the digest says it",
	"Binaries.GoVersion":      "the toolchain says it, and the binary",
	"Binaries.Package":        "the command says it, and the binary",
	"Binaries.Settings":       "command and environment say it, and the binary",
	"Binaries.Settings.Key":   "likewise",
	"Binaries.Settings.Value": "likewise",
	"Binaries.Main.Path":      "it was replaced, by what is said",
	"Binaries.Main.Version":   "likewise",
	"Binaries.Main.Sum":       "likewise: build info has none of what was replaced",
	"Binaries.Main.Zip":       "likewise",
	"Members.Name":            "the archive's digest holds them; a binary's is that of a subject",
	"Members.Digest":          "likewise",
	"Members.Mode":            "likewise",
	"Members.Size":            "likewise",
	"Documents.Mode":          "they have none",
	"Documents.Size":          "the digest says it",
}

// Every field of a record is in its provenance, or has its reason not to be:
// whatever is changed, the statement is another one or is refused, and the
// first one does not hold against the changed record.
func TestEveryFieldOfARecord(t *testing.T) {
	base, err := encode(parsed(t, sample(), builder(), run()))
	if err != nil {
		t.Fatal(err)
	}
	p := parsed(t, sample(), builder(), run())
	used := map[string]bool{}
	visit(t, func(name string, r artifact.Record) {
		noticed := false
		if s, err := Statement(r, builder(), run()); err != nil {
			noticed = true
		} else {
			noticed = !bytes.Equal(s.Predicate, base) || !reflect.DeepEqual(s.Subject, p.Subject)
		}
		if refused := p.Check(r) != nil; refused != noticed {
			t.Errorf("%s: the statement changes: %v; Check refuses: %v", name, noticed, refused)
		}
		_, listed := notSaid[name]
		used[name] = used[name] || listed
		if noticed == listed {
			t.Errorf("%s: the statement changes: %v; listed as not said: %v", name, noticed, listed)
		}
	})
	for name := range notSaid {
		if !used[name] {
			t.Errorf("%s is listed as not said and is no field", name)
		}
	}
}

// visit calls f with a sample for every field in which one thing is changed.
func visit(t *testing.T, f func(name string, r artifact.Record)) {
	var walk func(name string, at func(*artifact.Record) reflect.Value)
	walk = func(name string, at func(*artifact.Record) reflect.Value) {
		change := func(edit func(v reflect.Value)) {
			r := clone(t, sample())
			edit(at(&r))
			f(name, r)
		}
		original := clone(t, sample())
		switch v := at(&original); v.Interface().(type) {
		case artifact.Digest:
			change(func(v reflect.Value) { v.Set(reflect.ValueOf(digestOf("another"))) })
		case artifact.Platform:
			change(func(v reflect.Value) { v.Set(reflect.ValueOf(artifact.Platform{OS: "linux", Arch: "arm64"})) })
		default:
			switch v.Kind() {
			case reflect.String:
				change(func(v reflect.Value) { v.SetString(v.String() + "x") })
			case reflect.Int64:
				change(func(v reflect.Value) { v.SetInt(v.Int() + 1) })
			case reflect.Float64:
				change(func(v reflect.Value) { v.SetFloat(v.Float() + 1) })
			case reflect.Bool:
				change(func(v reflect.Value) { v.SetBool(!v.Bool()) })
			case reflect.Pointer:
				if v.IsNil() {
					return
				}
				drop := clone(t, sample())
				at(&drop).SetZero()
				f(name+"?", drop)
				walk(name, func(r *artifact.Record) reflect.Value { return at(r).Elem() })
			case reflect.Slice:
				if v.Len() == 0 {
					return
				}
				change(func(v reflect.Value) { v.Set(v.Slice(0, v.Len()-1)) })
				of := name
				if v.Type().Elem().Kind() == reflect.String {
					of += "[]"
				}
				walk(of, func(r *artifact.Record) reflect.Value { return at(r).Index(0) })
			case reflect.Struct:
				for i := range v.NumField() {
					walk(strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."), func(r *artifact.Record) reflect.Value { return at(r).Field(i) })
				}
			default:
				t.Fatalf("%s is a %v", name, v.Type())
			}
		}
	}
	walk("", func(r *artifact.Record) reflect.Value { return reflect.ValueOf(r).Elem() })
}

// A record that would make a provenance say less, or two things, is refused,
// as is a builder or a run that does not say who, when or from what.
func TestStatementRefuses(t *testing.T) {
	other := func() *artifact.Digest { return pointer(digestOf("other")) }
	for _, tt := range []struct {
		name string
		edit func(*artifact.Record, *Builder, *Run)
		says string
	}{
		{"a linked module without hash", func(r *artifact.Record, _ *Builder, _ *Run) { r.Binaries[0].Modules[0].Sum = "" }, "example.org/clock@v0.9.0"},
		{"a module with two zips", func(r *artifact.Record, _ *Builder, _ *Run) { r.Binaries[1].Modules[0].Zip = other() }, "two digests"},
		{"a module with two hashes", func(r *artifact.Record, _ *Builder, _ *Run) { r.Binaries[1].Modules[0].Sum = h1Of("x") }, "two digests"},
		{"another sealed module than was compiled", func(r *artifact.Record, _ *Builder, _ *Run) { r.Patched[0].To.Sum = h1Of("x") }, "two digests"},
		{"a sealed module with a zip", func(r *artifact.Record, _ *Builder, _ *Run) { r.Patched[1].To = r.Patched[1].From }, "sealed"},
		{"h1 with a newline in it", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Source.Sum = r.Source.Sum[:20] + "\n" + r.Source.Sum[20:]
		}, "base64"},
		{"npm package without sha512", func(r *artifact.Record, _ *Builder, _ *Run) { r.UI.Packages[0].Integrity = "sha1-abc" }, "chart"},
		{"npm package with two hashes", func(r *artifact.Record, _ *Builder, _ *Run) { r.Embedded[1].Integrity = integrityOf("x") }, "two digests"},
		{"embedded from nowhere", func(r *artifact.Record, _ *Builder, _ *Run) { r.Embedded[0].In = "example.org/nowhere" }, "nowhere"},
		{"embedded under another name", func(r *artifact.Record, _ *Builder, _ *Run) { r.Embedded[2].Name = "pepper" }, "popper"},
		{"embedded under another name than it was installed by", func(r *artifact.Record, _ *Builder, _ *Run) { r.Embedded[1].Name = "chart" }, "both"},
		{"embedded from two modules", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Embedded = append(r.Embedded, r.Embedded[0])
			r.Embedded[len(r.Embedded)-1].In = "example.org/clock"
		}, "twice"},
		{"toolchain without hash", func(r *artifact.Record, _ *Builder, _ *Run) { r.Toolchains[0].Hash = "" }, "toolchain go"},
		{"no Go", func(r *artifact.Record, _ *Builder, _ *Run) { r.Toolchains = r.Toolchains[1:] }, "Go toolchain"},
		{"no binaries", func(r *artifact.Record, _ *Builder, _ *Run) { r.Binaries = nil }, "what is linked"},
		{"binary that is not in the archive", func(r *artifact.Record, _ *Builder, _ *Run) { r.Members[1].Digest = digestOf("x") }, "beacon"},
		{"no epoch", func(r *artifact.Record, _ *Builder, _ *Run) { r.Epoch = 0 }, "sourceDateEpoch"},
		{"no variant", func(r *artifact.Record, _ *Builder, _ *Run) { r.Variant = "" }, "variant"},
		{"no recipe", func(r *artifact.Record, _ *Builder, _ *Run) { r.Recipe = artifact.Digest{} }, "recipe"},
		{"no digest", func(r *artifact.Record, _ *Builder, _ *Run) { r.Digest = artifact.Digest{} }, "sha256"},
		{"no command", func(r *artifact.Record, _ *Builder, _ *Run) { r.Build.Args = nil }, "command"},
		{"environment without a value", func(r *artifact.Record, _ *Builder, _ *Run) { r.Build.Env = []string{"GOOS"} }, "GOOS"},
		{"environment twice", func(r *artifact.Record, _ *Builder, _ *Run) { r.Build.Env = []string{"A=1", "A=2"} }, "twice"},
		{"environment that moves the cursor", func(r *artifact.Record, _ *Builder, _ *Run) { r.Build.Env = []string{"A=\x1b[A"} }, "environment"},
		{"interface built by nobody knows whom", func(r *artifact.Record, _ *Builder, _ *Run) { r.UI.Report = nil }, "its sandbox said nothing"},
		{"interface of no known kind", func(r *artifact.Record, _ *Builder, _ *Run) { r.UI.Kind = "yarn" }, "yarn"},
		{"hermetic, with a reason not to be", func(r *artifact.Record, _ *Builder, _ *Run) { r.Build.Sandbox.Reason = "x" }, "contradicts itself"},
		{"an executor without its worker", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Build.Sandbox = artifact.Sandbox{Hermetic: true, Executor: "buildkit"}
		}, "names the executor"},
		{"a worker of nothing", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Build.Sandbox = artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}, Worker: "w"}
		}, "names the executor"},
		{"an executor that is not known", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Build.Sandbox = artifact.Sandbox{Hermetic: true, Executor: "make", Worker: "w"}
		}, "names the executor"},
		{"namespaces that nobody saw", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Build.Sandbox.Executor, r.Build.Sandbox.Worker = "buildkit", "w"
		}, "names the executor"},
		{"a worker with a name without an end", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Build.Sandbox = artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: strings.Repeat("w", 129)}
		}, "names the executor"},
		{"an interface that was built elsewhere", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.UI.Report = &artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "w"}
		}, "interface names the executor"},
		{"hermetic, and nobody saw by what", func(r *artifact.Record, _ *Builder, _ *Run) { r.Build.Sandbox.Namespaces = nil }, "contradicts itself"},
		{"a worker with a name to be shown", func(r *artifact.Record, _ *Builder, _ *Run) {
			r.Build.Sandbox = artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "w\n"}
		}, "names the executor"},
		{"a document twice", func(r *artifact.Record, _ *Builder, _ *Run) { r.Documents[1].Name = r.Documents[0].Name }, "twice"},
		{"builder without id", func(_ *artifact.Record, b *Builder, _ *Run) { b.ID = "" }, "builder.id"},
		{"builder with a relative id", func(_ *artifact.Record, b *Builder, _ *Run) { b.ID = "workstation" }, "builder.id"},
		{"builder without version", func(_ *artifact.Record, b *Builder, _ *Run) { b.Version = nil }, "builder.version"},
		{"tool without a hash", func(_ *artifact.Record, b *Builder, _ *Run) { b.Dependencies[0].Digest = nil }, "no digest"},
		{"run without id", func(_ *artifact.Record, _ *Builder, r *Run) { r.InvocationID = "" }, "invocationId"},
		{"run without a start", func(_ *artifact.Record, _ *Builder, r *Run) { r.Started = time.Time{} }, "startedOn"},
		{"run that ended before it began", func(_ *artifact.Record, _ *Builder, r *Run) { r.Finished = r.Started.Add(-time.Minute) }, "finishedOn"},
		{"no distribution", func(_ *artifact.Record, _ *Builder, r *Run) { r.Distribution = artifact.Digest{} }, "distribution"},
		{"no cache state", func(_ *artifact.Record, _ *Builder, r *Run) { r.Cache = "" }, "cache"},
		{"clean tree of no commit", func(_ *artifact.Record, _ *Builder, r *Run) { r.Repository.Commit = "" }, "gitCommit"},
		{"a branch for a commit", func(_ *artifact.Record, _ *Builder, r *Run) { r.Repository.Commit = "main" }, "gitCommit"},
		{"repository with a password", func(_ *artifact.Record, _ *Builder, r *Run) {
			r.Repository.URI = "git+https://user:secret@code.example.org/x"
		}, "password"},
		{"repository on this machine", func(_ *artifact.Record, _ *Builder, r *Run) { r.Repository.URI = "git+file:///home/somebody/palisade" }, "git+https"},
		{"repository with a revision", func(_ *artifact.Record, _ *Builder, r *Run) { r.Repository.URI += "@main" }, "revision"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, b, with := clone(t, sample()), builder(), run()
			tt.edit(&r, &b, &with)
			s, err := Statement(r, b, with)
			if !errors.Is(err, ErrInput) || s.Predicate != nil {
				t.Fatalf("= %s, %v, want ErrInput", s.Predicate, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v\ndoes not say %q", err, tt.says)
			}
		})
	}
}
