package step_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/step"
)

var update = flag.Bool("update", false, "write what was seen into the document")

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func digest(text string) artifact.Digest { return artifact.DigestBytes([]byte(text)) }

// sample is a compilation that left two binaries.
func sample() step.Step {
	return step.Step{
		Builder: provenance.Builder{
			ID: "https://palisade.example/builders/workstation/v1", Version: map[string]string{"go": "go1.26.8", "palisade": "v0.7.0"},
			Dependencies: []intoto.Resource{{Name: "palisade@v0.7.0", URI: "pkg:golang/palisade@v0.7.0", Digest: intoto.Digests{"dirHash": digest("palisade").Hex()}}},
		},
		Files: []artifact.File{
			{Name: "beacon", Mode: "0755", Size: 21_004_288, Digest: digest("beacon")},
			{Name: "beaconctl", Mode: "0755", Size: 9_437_184, Digest: digest("beaconctl")},
		},
		Inputs: digest("inputs"), Name: "compile-2", Value: step.ValueOf([]byte(`{"binaries":[]}`)),
	}
}

func statement(t testing.TB, s step.Step) intoto.Statement {
	t.Helper()
	return must(step.Statement(s))(t)
}

// The document ends with an attestation in its one form, and tells of every
// field.
func TestDocument(t *testing.T) {
	file, want := filepath.Join("..", "predicates", "step.md"), string(must(intoto.Marshal(statement(t, sample())))(t))
	text, got, ok := strings.Cut(string(must(os.ReadFile(file))(t)), "\n```json\n")
	if !ok {
		t.Fatalf("%s has no example", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(text+"\n```json\n"+want+"```\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want+"```\n" {
		t.Errorf("the example of %s is another one; run with -update and look at the change:\n%s", file, want)
	}
	for _, of := range []reflect.Type{reflect.TypeFor[step.Step](), reflect.TypeFor[step.Value](), reflect.TypeFor[artifact.File]()} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "."+name+"`") {
				t.Errorf("%s does not tell of %s", file, name)
			}
		}
	}
	for _, name := range []string{step.PredicateType, fmt.Sprint(step.MaxFiles), fmt.Sprint(step.MaxName)} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("%s does not tell of %s", file, name)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*step.Step){
		"files":    func(*step.Step) {},
		"no files": func(s *step.Step) { s.Files = []artifact.File{} },
		"an empty file, in folders": func(s *step.Step) {
			s.Files = []artifact.File{{Name: "web/a", Mode: "0644", Digest: digest("")}, {Name: "web/a.d/b", Mode: "0644", Digest: digest("")}}
		},
	} {
		want := sample()
		change(&want)
		data := must(intoto.Marshal(statement(t, want)))(t)
		got := must(step.Parse(must(intoto.Parse(data))(t)))(t)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read back\n%+v\nwant\n%+v", name, got, want)
		}
		if err := got.Check(want.Name, want.Inputs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := sample()
	none.Files = nil
	if s := must(step.Parse(statement(t, none)))(t); s.Files == nil {
		t.Error("no files at all are not an empty list")
	}
}

// Nothing but the step on those inputs will do, and nothing of none.
func TestCheck(t *testing.T) {
	s := sample()
	for _, tt := range []struct {
		name   string
		inputs artifact.Digest
		want   error
	}{
		{s.Name, s.Inputs, nil},
		{"compile-3", s.Inputs, step.ErrOther},
		{"", s.Inputs, step.ErrOther},
		{s.Name, digest("others"), step.ErrOther},
		{s.Name, artifact.Digest{}, step.ErrOther},
	} {
		if err := s.Check(tt.name, tt.inputs); !errors.Is(err, tt.want) {
			t.Errorf("%s on %s: %v, want %v", tt.name, tt.inputs, err, tt.want)
		}
	}
	if err := (step.Step{}).Check("", artifact.Digest{}); !errors.Is(err, step.ErrOther) {
		t.Errorf("nothing, of nothing: %v", err)
	}
}

// malformed are steps that nobody may write or read.
var malformed = map[string]func(*step.Step){
	"no builder":              func(s *step.Step) { s.Builder.ID = "" },
	"a builder of nothing":    func(s *step.Step) { s.Builder.Version = nil },
	"no name":                 func(s *step.Step) { s.Name = "" },
	"a name with a folder":    func(s *step.Step) { s.Name = "../compile" },
	"a name of capitals":      func(s *step.Step) { s.Name = "Compile" },
	"a name too long":         func(s *step.Step) { s.Name = strings.Repeat("a", 65) },
	"no value":                func(s *step.Step) { s.Value.Size = 0 },
	"a value too large":       func(s *step.Step) { s.Value.Size = step.MaxValue + 1 },
	"a file out of its place": func(s *step.Step) { s.Files[0].Name = "../beacon" },
	"a file at the root":      func(s *step.Step) { s.Files[0].Name = "/beacon" },
	"the folder itself":       func(s *step.Step) { s.Files[0].Name = "." },
	"no file name":            func(s *step.Step) { s.Files[0].Name = "" },
	"a file name too long":    func(s *step.Step) { s.Files[1].Name = "c" + strings.Repeat("/c", step.MaxName/2) },
	"an unclean name":         func(s *step.Step) { s.Files[0].Name = "a//b" },
	"a name of Windows":       func(s *step.Step) { s.Files[0].Name = `..\beacon` },
	"a name with a newline":   func(s *step.Step) { s.Files[0].Name = "bea\ncon" },
	"a name with a NUL":       func(s *step.Step) { s.Files[0].Name = "bea\x00con" },
	"a file twice":            func(s *step.Step) { s.Files[1].Name = "beacon" },
	"files out of order":      func(s *step.Step) { s.Files[0].Name = "z" },
	"a file in a file":        func(s *step.Step) { s.Files[1].Name = "beacon/ctl" },
	"a file deep in a file":   func(s *step.Step) { s.Files[1].Name = "beacon/a/b" },
	"a mode with setuid":      func(s *step.Step) { s.Files[0].Mode = "4755" },
	"no mode":                 func(s *step.Step) { s.Files[0].Mode = "" },
	"a size below nothing":    func(s *step.Step) { s.Files[0].Size = -1 },
	"a file too large":        func(s *step.Step) { s.Files[0].Size = step.MaxFile + 1 },
	"files too large": func(s *step.Step) {
		s.Files = append(s.Files, artifact.File{Name: "c", Mode: "0644", Size: step.MaxFile, Digest: digest("c")})
		s.Files[0].Size, s.Files[1].Size = step.MaxFile, step.MaxFile
	},
	"too many files": func(s *step.Step) {
		s.Files = nil
		for i := range step.MaxFiles + 1 {
			s.Files = append(s.Files, artifact.File{Name: fmt.Sprintf("%04d", i), Mode: "0644", Size: 1, Digest: digest("x")})
		}
	},
}

func TestMalformed(t *testing.T) {
	for name, change := range malformed {
		s := sample()
		change(&s)
		if _, err := step.Statement(s); !errors.Is(err, step.ErrInput) {
			t.Errorf("%s is written: %v", name, err)
		}
		// Whoever has a key may write it himself.
		st := statement(t, sample())
		st.Predicate = must(json.Marshal(s))(t)
		st.Subject = []intoto.Subject{{Name: "value.json", Digest: intoto.Digests{"sha256": s.Value.Digest.Hex()}}}
		for _, f := range s.Files {
			st.Subject = append(st.Subject, intoto.Subject{Name: "files/" + f.Name, Digest: intoto.Digests{"sha256": f.Digest.Hex()}})
		}
		if _, err := step.Parse(st); !errors.Is(err, step.ErrStep) {
			t.Errorf("%s is read: %v", name, err)
		}
	}
	for name, change := range map[string]func(*step.Step){
		"no inputs":      func(s *step.Step) { s.Inputs = artifact.Digest{} },
		"no digest":      func(s *step.Step) { s.Files[0].Digest = artifact.Digest{} },
		"no value's own": func(s *step.Step) { s.Value.Digest = artifact.Digest{} },
	} {
		s := sample()
		change(&s)
		if _, err := step.Statement(s); !errors.Is(err, step.ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is not in the one form is not read.
func TestParse(t *testing.T) {
	edit := func(old, new string) func(*intoto.Statement) {
		return func(s *intoto.Statement) {
			was := s.Predicate
			if s.Predicate = bytes.Replace(was, []byte(old), []byte(new), 1); bytes.Equal(was, s.Predicate) {
				panic(old)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*intoto.Statement)
		want   error
	}{
		{"another type", func(s *intoto.Statement) { s.PredicateType += "0" }, step.ErrPredicateType},
		{"a field more", edit(`"inputs"`, `"more": 1, "inputs"`), step.ErrStep},
		{"a field twice", edit(`"inputs"`, `"name": "compile-2", "inputs"`), step.ErrStep},
		{"another order", edit(`"size": 21004288`, `"mode": "0755"`), step.ErrStep},
		{"null for files", func(s *intoto.Statement) {
			var all map[string]any
			if err := json.Unmarshal(s.Predicate, &all); err != nil {
				panic(err)
			}
			all["files"] = nil
			s.Predicate, _ = json.Marshal(all)
		}, step.ErrStep},
		{"an escape", edit(`"beacon"`, `"b\u0065acon"`), step.ErrStep},
		{"a size that is no number of bytes", edit(`21004288`, `2.1004288e7`), step.ErrStep},
		{"too large", func(s *intoto.Statement) { s.Predicate = append(bytes.Repeat([]byte(" "), 2<<20), s.Predicate...) }, step.ErrStep},
		{"a subject less", func(s *intoto.Statement) { s.Subject = s.Subject[:2] }, step.ErrStep},
		{"a subject more", func(s *intoto.Statement) { s.Subject = append(s.Subject, s.Subject[0]) }, step.ErrStep},
		{"subjects swapped", func(s *intoto.Statement) { s.Subject[1], s.Subject[2] = s.Subject[2], s.Subject[1] }, step.ErrStep},
		{"another digest", func(s *intoto.Statement) { s.Subject[1].Digest = s.Subject[2].Digest }, step.ErrStep},
		{"a digest more", func(s *intoto.Statement) {
			s.Subject[1].Digest["sha512"] = strings.Repeat("0", 128)
		}, step.ErrStep},
	} {
		st := statement(t, sample())
		tt.change(&st)
		if _, err := step.Parse(st); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// What is read is written again as it was.
func FuzzParse(f *testing.F) {
	f.Add(must(intoto.Marshal(statement(f, sample())))(f))
	none := sample()
	none.Files = nil
	f.Add(must(intoto.Marshal(statement(f, none)))(f))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + step.PredicateType + `","subject":[{"digest":{"sha256":"00"}}],"predicate":{"files":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := intoto.Parse(data)
		if err != nil {
			return
		}
		s, err := step.Parse(st)
		if err != nil {
			return
		}
		again, err := step.Statement(s)
		if err != nil {
			t.Fatalf("it was read and cannot be written: %v", err)
		}
		if back, err := step.Parse(again); err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%v:\n%+v\n%+v", err, back, s)
		}
	})
}
