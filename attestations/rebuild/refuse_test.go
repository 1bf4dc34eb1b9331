package rebuild_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/rebuild"
)

// A rebuild that left something out, that differs, or that does not say who,
// where and when, is attested by nobody.
func TestStatementRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(g *rebuild.Given, run *rebuild.Run)
		want   error
		says   string
	}{
		{"a byte of the archive", func(g *rebuild.Given, run *rebuild.Run) {
			run.Rebuilt[g.Subject[0].Name] = artifact.DigestBytes([]byte("x"))
		}, rebuild.ErrDiffers, "beacon-1.2.0-palisade.1.linux-amd64.tar.gz"},
		{"a byte of a document", func(_ *rebuild.Given, run *rebuild.Run) {
			run.Rebuilt["bin/linux-amd64/hardened/beacon.spdx.json"] = artifact.DigestBytes([]byte("x"))
		}, rebuild.ErrDiffers, "beacon.spdx.json"},
		{"a binary that was not looked at", func(g *rebuild.Given, run *rebuild.Run) { delete(run.Rebuilt, g.Subject[1].Name) }, rebuild.ErrInput, "was not compared"},
		{"a digest that is none", func(g *rebuild.Given, run *rebuild.Run) { run.Rebuilt[g.Subject[1].Name] = artifact.Digest{} }, rebuild.ErrInput, "was not compared"},
		{"something that nobody asked for", func(_ *rebuild.Given, run *rebuild.Run) { run.Rebuilt["more"] = artifact.DigestBytes(nil) }, rebuild.ErrInput, "6 things"},
		{"nothing given", func(g *rebuild.Given, run *rebuild.Run) { *g, run.Rebuilt = rebuild.Given{}, nil }, rebuild.ErrInput, "original"},
		{"no provenance", func(g *rebuild.Given, _ *rebuild.Run) { g.Original.Provenance = artifact.Digest{} }, rebuild.ErrInput, "original.provenance"},
		{"no builder", func(g *rebuild.Given, _ *rebuild.Run) { g.Original.Builder = "" }, rebuild.ErrInput, "original.builder"},
		{"a subject that nobody compared", func(g *rebuild.Given, _ *rebuild.Run) {
			g.Subject = append(g.Subject, intoto.Subject{Name: "x", Digest: g.Subject[0].Digest})
		}, rebuild.ErrInput, `"x"`},
		{"no rebuilder", func(_ *rebuild.Given, run *rebuild.Run) { run.Rebuilder.ID = "" }, rebuild.ErrInput, "rebuilder"},
		{"a tool without a hash", func(_ *rebuild.Given, run *rebuild.Run) { run.Rebuilder.Dependencies[0].Digest = nil }, rebuild.ErrInput, "no digest"},
		{"no version", func(_ *rebuild.Given, run *rebuild.Run) { run.Rebuilder.Version = nil }, rebuild.ErrInput, "version"},
		{"no execution", func(_ *rebuild.Given, run *rebuild.Run) { run.Metadata.InvocationID = "" }, rebuild.ErrInput, "invocationId"},
		{"no start", func(_ *rebuild.Given, run *rebuild.Run) { run.Metadata.StartedOn = time.Time{} }, rebuild.ErrInput, "startedOn"},
		{"an end before the start", func(_ *rebuild.Given, run *rebuild.Run) {
			run.Metadata.FinishedOn = run.Metadata.StartedOn.Add(-time.Minute)
		}, rebuild.ErrInput, "finishedOn"},
		{"the same surroundings", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied = nil }, rebuild.ErrInput, "varied"},
		{"varied twice", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied = append(run.Varied, run.Varied[0]) }, rebuild.ErrInput, "twice"},
		{"varied and not", func(_ *rebuild.Given, run *rebuild.Run) { run.NotVaried[0].Name = "umask" }, rebuild.ErrInput, "twice"},
		{"varied without a value", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied[0].Value = "" }, rebuild.ErrInput, "umask"},
		{"varied, with a reason not to be", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied[0].Why = "x" }, rebuild.ErrInput, "umask"},
		{"not varied, for no reason", func(_ *rebuild.Given, run *rebuild.Run) { run.NotVaried[0].Why = "" }, rebuild.ErrInput, "user"},
		{"not varied, with a value", func(_ *rebuild.Given, run *rebuild.Run) { run.NotVaried[0].Value = "x" }, rebuild.ErrInput, "user"},
		{"a value that moves the cursor", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied[0].Value = "\x1b[A" }, rebuild.ErrInput, "umask"},
		{"a value without an end", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied[0].Value = strings.Repeat("x", 5000) }, rebuild.ErrInput, "umask"},
		{"something without a name", func(_ *rebuild.Given, run *rebuild.Run) { run.Varied[0].Name = "" }, rebuild.ErrInput, "no name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := given(t)
			run := same(t, g)
			tt.change(&g, &run)
			s, err := rebuild.Statement(g, run)
			if !errors.Is(err, tt.want) || s.Predicate != nil {
				t.Fatalf("= %s, %v, want %v", s.Predicate, err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v\ndoes not say %q", err, tt.says)
			}
		})
	}
}

// Each edit of a good attestation makes it one that is refused.
func TestParseRefuses(t *testing.T) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, statement(t)); err != nil {
		t.Fatal(err)
	}
	good := compact.String()
	g := given(t)
	archive, binary := g.Subject[0].Digest["sha256"], g.Subject[1].Digest["sha256"]
	other := artifact.DigestBytes([]byte("other")).Hex()
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"another type", rebuild.PredicateType, "https://palisade.example/predicates/rebuild/v2", rebuild.ErrPredicateType},
		{"a key twice", `"varied":[`, `"varied":[],"varied":[`, intoto.ErrDuplicateKey},
		{"a field that is not known", `"varied":[`, `"verdict":"equal","varied":[`, rebuild.ErrRebuild},
		{"a field in other capitals", `"varied":[`, `"Varied":[`, rebuild.ErrRebuild},
		{"a field that is missing", `"invocationId":"0b6e7f6e-5a1c-4d55-9a37-0c5e1f7f7a11",`, ``, rebuild.ErrRebuild},
		{"null", `"invocationId":"0b6e7f6e-5a1c-4d55-9a37-0c5e1f7f7a11"`, `"invocationId":null`, rebuild.ErrRebuild},
		{"an empty field that would be left out", `"name":"umask","value":"0077"`, `"name":"umask","value":"0077","why":""`, rebuild.ErrRebuild},
		{"order of keys", `"name":"umask","value":"0077"`, `"value":"0077","name":"umask"`, rebuild.ErrRebuild},
		{"an escape where none is needed", `"umask"`, `"\u0075mask"`, rebuild.ErrRebuild},
		{"a time with an offset", `20:04:05Z`, `20:04:05+00:00`, rebuild.ErrRebuild},
		{"a time with a fraction", `20:04:05Z`, `20:04:05.5Z`, rebuild.ErrRebuild},
		{"out of order", `{"name":"cache","value":"empty"},{"name":"time zone","value":"XXX-13:45"}`, `{"name":"time zone","value":"XXX-13:45"},{"name":"cache","value":"empty"}`, rebuild.ErrRebuild},
		{"a difference", `"rebuilt":{"sha256":"` + archive, `"rebuilt":{"sha256":"` + other, rebuild.ErrRebuild},
		{"another digest on both sides", `"original":{"sha256":"` + archive + `"},"rebuilt":{"sha256":"` + archive, `"original":{"sha256":"` + other + `"},"rebuilt":{"sha256":"` + other, rebuild.ErrRebuild},
		{"another algorithm on both sides", `"original":{"sha256":"` + binary + `"},"rebuilt":{"sha256":"` + binary + `"}`, `"original":{"dirHash":"` + binary + `"},"rebuilt":{"dirHash":"` + binary + `"}`, rebuild.ErrRebuild},
		{"a second algorithm", `"rebuilt":{"sha256":"` + archive + `"`, `"rebuilt":{"dirHash":"` + archive + `","sha256":"` + archive + `"`, rebuild.ErrRebuild},
		{"digits in capitals", `"rebuilt":{"sha256":"` + archive, `"rebuilt":{"sha256":"` + strings.ToUpper(archive), rebuild.ErrRebuild},
		{"no digest of the provenance", `"provenance":"sha256:`, `"provenance":"sha1:`, rebuild.ErrRebuild},
		{"a subject with another digest", `"subject":[{"digest":{"sha256":"` + archive, `"subject":[{"digest":{"sha256":"` + other, rebuild.ErrRebuild},
		{"a subject that was not compared", `"subject":[`, `"subject":[{"digest":{"sha256":"` + other + `"},"name":"x"},`, rebuild.ErrRebuild},
		{"a subject without a name", `"subject":[`, `"subject":[{"digest":{"sha256":"` + archive + `"}},`, rebuild.ErrRebuild},
		{"nothing", `{"compared":[`, `{"x":[],"compared":[`, rebuild.ErrRebuild},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := strings.Replace(good, tt.old, tt.new, 1)
			if broken == good {
				t.Fatal("the edit changes nothing")
			}
			r, err := read([]byte(broken))
			if !errors.Is(err, tt.want) || r.Subject != nil {
				t.Fatalf("= %+v, %v, want %v", r, err, tt.want)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("it says too much: %v", err)
			}
		})
	}
}

func read(data []byte) (rebuild.Rebuild, error) {
	s, err := intoto.Parse(data)
	if err != nil {
		return rebuild.Rebuild{}, err
	}
	return rebuild.Parse(s)
}

// What Parse accepts, Statement would have written: what it says was compared
// came out equal, every subject is among it, and it has one form.
func FuzzParse(f *testing.F) {
	text := string(statement(f))
	f.Add([]byte(text))
	f.Add([]byte(strings.Replace(text, `"value": "0077"`, `"why": "0077"`, 1)))
	f.Add([]byte(strings.Replace(text, `Z"`, `.000Z"`, 1)))
	f.Add([]byte(strings.Replace(text, `"notVaried": [`, `"notVaried": [{}, `, 1)))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + rebuild.PredicateType + `","subject":[{"digest":{"sha256":"` + strings.Repeat("0", 64) + `"}}],"predicate":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := intoto.Parse(data)
		if err != nil {
			return
		}
		r, err := rebuild.Parse(s)
		if err != nil {
			if r.Subject != nil || !errors.Is(err, rebuild.ErrRebuild) && !errors.Is(err, rebuild.ErrPredicateType) {
				t.Errorf("refused with %+v, %v", r, err)
			}
			return
		}
		run, g := rebuild.Run{Rebuilder: r.Rebuilder, Varied: r.Varied, NotVaried: r.NotVaried, Metadata: r.Metadata, Rebuilt: map[string]artifact.Digest{}}, rebuild.Given{Original: r.Original, Subject: r.Subject}
		for _, c := range r.Compared {
			d, err := artifact.ParseDigest("sha256:" + c.Rebuilt["sha256"])
			if err != nil || c.Original["sha256"] != d.Hex() {
				t.Fatalf("%+v: %v", c, err)
			}
			run.Rebuilt[c.Name] = d
			g.Compare = append(g.Compare, intoto.Subject{Name: c.Name, Digest: c.Original})
		}
		for _, sub := range r.Subject {
			if !slices.ContainsFunc(r.Compared, func(c rebuild.Compared) bool {
				return c.Name == sub.Name && c.Original["sha256"] == sub.Digest["sha256"]
			}) {
				t.Errorf("%+v was not compared", sub)
			}
		}
		if err := r.Check(g); err != nil {
			t.Error(err)
		}
		again, err := rebuild.Statement(g, run)
		if err != nil {
			t.Fatal(err)
		}
		var got, form bytes.Buffer
		if err := errors.Join(json.Compact(&got, s.Predicate), json.Compact(&form, again.Predicate)); err != nil || got.String() != form.String() {
			t.Errorf("it has two forms: %v", err)
		}
	})
}
