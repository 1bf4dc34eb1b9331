package vex

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

var update = flag.Bool("update", false, "write what the golden files are to hold")

func digestOf(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

func of(path, version string) artifact.Module { return artifact.Module{Path: path, Version: version} }

// record is of an archive with two binaries, in which one module was replaced.
func record() artifact.Record {
	to := of("example.org/lamp", "v0.4.1-0.palisade.1")
	lamp, main := of("example.org/lamp", "v0.4.0"), of("example.org/Beacon", "v1.2.0")
	lamp.Replace = &to
	return artifact.Record{
		Name: "beacon-1.2.0-palisade.1.linux-amd64.tar.gz", Digest: digestOf("archive"), Component: "beacon", Version: "1.2.0-palisade.1",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened",
		Binaries: []artifact.Binary{
			{Name: "beacon", Digest: digestOf("beacon"), GoVersion: "go1.26.8", Main: main, Modules: []artifact.Module{lamp}},
			{Name: "beaconctl", Digest: digestOf("beaconctl"), GoVersion: "go1.26.8 X:x", Main: main},
		},
		Members: []artifact.File{{Name: "beacon-1.2.0/beacon", Digest: digestOf("beacon")}, {Name: "beacon-1.2.0/beaconctl", Digest: digestOf("beaconctl")}},
	}
}

func data() Data {
	return Data{Scanner: "golang.org/x/vuln@v1.8.0", Digest: digestOf("database"), Modified: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}
}

func verdicts() []Verdict {
	return []Verdict{
		{ID: "GO-2026-9001", Aliases: []string{"CVE-2026-90010", "GHSA-xxxx-yyyy-zzzz"}, Module: "example.org/lamp", Version: "v0.4.1-0.palisade.1", Status: Fixed, Note: "by the patch 0001-green.patch"},
		{ID: "GO-2026-9002", Module: "example.org/lamp", Version: "v0.4.1-0.palisade.1", Status: NotAffected, Justification: CodeNotPresent, Note: "the linker left it out"},
		{ID: "GO-2026-9003", Module: "example.org/Beacon", Version: "v1.2.0", Status: UnderInvestigation},
		{ID: "GO-2026-9003", Module: "stdlib", Version: "1.26.8", Status: Affected, Note: "build with Go 1.26.9 or a later one"},
	}
}

func stated(t testing.TB, v ...Verdict) intoto.Statement {
	t.Helper()
	s, err := Statement(record(), "palisade", data(), v, "Palisade")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is written is what the golden files hold, and what is read is what was
// said.
func TestStatement(t *testing.T) {
	for name, said := range map[string][]Verdict{"some": verdicts(), "none": nil} {
		s := stated(t, said...)
		text, err := intoto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		golden := "testdata/" + name + ".json"
		if *update {
			if err := os.WriteFile(golden, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(text, want) {
			t.Errorf("%s is not what is written, %v:\n%s", golden, err, text)
		}
		read, err := intoto.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse(read)
		if err == nil {
			err = d.Check(record(), "palisade")
		}
		if err != nil || d.Data != data() || d.Author != "Palisade" || d.Product.Digest != record().Digest || len(d.Verdicts) != len(said) {
			t.Fatalf("%+v, %v", d, err)
		}
		for i := range said {
			if got := d.Verdicts[i]; Order(got, said[i]) != 0 || !slices.Equal(got.Aliases, said[i].Aliases) || got.Version != said[i].Version || got.Status != said[i].Status || got.Note != said[i].Note {
				t.Errorf("%+v was read as %+v", said[i], got)
			}
		}
		if open := d.Open(); len(said) > 0 && len(open) != 2 || len(said) == 0 && len(open) != 0 {
			t.Errorf("open are %+v", open)
		}
	}
	// What is not known to the second does not differ below it.
	fine := data()
	fine.Modified = fine.Modified.Add(time.Millisecond).In(time.FixedZone("", 3600))
	if s, err := Statement(record(), "palisade", fine, verdicts(), "Palisade"); err != nil || !bytes.Equal(s.Predicate, stated(t, verdicts()...).Predicate) {
		t.Errorf("%s, %v", s.Predicate, err)
	}
}

func TestStatementRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *artifact.Record, d *Data, v []Verdict, author *string)
		wants  []error
	}{
		{"no author", func(_ *artifact.Record, _ *Data, _ []Verdict, author *string) { *author = "" }, nil},
		{"an author that moves the cursor", func(_ *artifact.Record, _ *Data, _ []Verdict, author *string) { *author = "\x1b[2K" }, nil},
		{"data without a digest", func(_ *artifact.Record, d *Data, _ []Verdict, _ *string) { d.Digest = artifact.Digest{} }, nil},
		{"data without a time", func(_ *artifact.Record, d *Data, _ []Verdict, _ *string) { d.Modified = time.Time{} }, nil},
		{"nobody who looked", func(_ *artifact.Record, d *Data, _ []Verdict, _ *string) { d.Scanner = "" }, nil},
		{"an id that is none", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].ID = "CVE-2026-1" }, nil},
		{"an alias that is none", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Aliases[0] = "../x" }, nil},
		{"aliases out of order", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { slices.Reverse(v[0].Aliases) }, nil},
		{"an alias twice", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Aliases[1] = v[0].Aliases[0] }, nil},
		{"a module that is none", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Module = "../lamp" }, nil},
		{"no version", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Version = "" }, nil},
		{"a status that is none", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Status = "fine" }, nil},
		{"no status", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Status = "" }, nil},
		{"no justification", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[1].Justification = "" }, nil},
		{"a justification that is none", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[1].Justification = "because" }, nil},
		{"a justification of what affects", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[3].Justification = CodeNotPresent }, nil},
		{"nothing to do", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[3].Note = "" }, nil},
		{"a note of two lines", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Note = "a\nb" }, nil},
		{"a long note", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Note = strings.Repeat("x", 2001) }, nil},
		{"out of order", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0], v[1] = v[1], v[0] }, nil},
		{"twice", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[1] = v[0] }, nil},
		{"of what is not linked", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Module = "example.org/lump" }, []error{ErrMismatch}},
		{"of the version that was replaced", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[0].Version = "v0.4.0" }, []error{ErrMismatch}},
		{"of another Go", func(_ *artifact.Record, _ *Data, v []Verdict, _ *string) { v[3].Version = "1.26.7" }, []error{ErrMismatch}},
		{"a binary that is not in the archive", func(r *artifact.Record, _ *Data, _ []Verdict, _ *string) { r.Members = r.Members[:1] }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, d, v, author := record(), data(), verdicts(), "Palisade"
			tt.change(&r, &d, v, &author)
			s, err := Statement(r, "palisade", d, v, author)
			for _, want := range append([]error{ErrInput}, tt.wants...) {
				if !errors.Is(err, want) {
					t.Errorf("got %s, %v, want %v", s.Predicate, err, want)
				}
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(d *Document, r *artifact.Record)
		want   error
	}{
		{"as it is", func(*Document, *artifact.Record) {}, nil},
		{"fewer subjects", func(d *Document, _ *artifact.Record) { d.Subject = d.Subject[:2] }, ErrSubject},
		{"another binary", func(d *Document, _ *artifact.Record) {
			d.Subject = slices.Clone(d.Subject)
			d.Subject[1].Digest = intoto.Digests{"sha256": digestOf("x").Hex()}
		}, ErrSubject},
		{"another archive", func(_ *Document, r *artifact.Record) { r.Digest = digestOf("x") }, ErrSubject},
		{"another distribution", func(d *Document, _ *artifact.Record) {
			d.Product.PURL = strings.Replace(d.Product.PURL, "palisade", "others", 1)
		}, ErrSubject},
		{"a module that is linked no more", func(_ *Document, r *artifact.Record) { r.Binaries[0].Modules = nil }, ErrMismatch},
		{"another Go", func(_ *Document, r *artifact.Record) {
			r.Binaries[0].GoVersion, r.Binaries[1].GoVersion = "go1.26.9", "go1.26.9"
		}, ErrMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Parse(stated(t, verdicts()...))
			if err != nil {
				t.Fatal(err)
			}
			r := record()
			tt.change(&d, &r)
			if err := d.Check(r, "palisade"); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	// Without a verdict it is still of one archive.
	d, err := Parse(stated(t))
	if err != nil {
		t.Fatal(err)
	}
	r := record()
	r.Digest = digestOf("x")
	if err := d.CheckProduct(r, "palisade"); !errors.Is(err, ErrSubject) {
		t.Errorf("got %v", err)
	}
}

// What differs in a byte from what is written says something else, or the same to
// some readers alone.
func TestParseRefuses(t *testing.T) {
	good := string(stated(t, verdicts()...).Predicate)
	for _, tt := range []struct{ name, old, new string }{
		{"another version of OpenVEX", "openvex.dev/ns/v0.2.0", "openvex.dev/ns/v0.3.0"},
		{"another version of the document", `"version": 1`, `"version": 2`},
		{"another name", "docs/public/vex-", "docs/private/vex-"},
		{"another digest in its name", "vex-" + record().Digest.Hex(), "vex-" + digestOf("x").Hex()},
		{"another product", "pkg:generic/palisade/beacon@1.2.0", "pkg:generic/palisade/beacon@1.2.1"},
		{"another hash", `"sha-256": "`, `"sha-512": "`},
		{"another identifier", `"purl": "pkg:generic`, `"cpe23": "pkg:generic`},
		{"another address", "pkg.go.dev/vuln", "evil.example/vuln"},
		{"a time zone", `"2026-11-20T10:00:00Z"`, `"2026-11-20T11:00:00+01:00"`},
		{"a fraction of a second", `10:00:00Z`, `10:00:00.5Z`},
		{"no time", `"timestamp": "2026-11-20T10:00:00Z",`, ``},
		{"other tooling", "golang.org/x/vuln@v1.8.0, database ", "golang.org/x/vuln@v1.8.0 "},
		{"no statements", `"statements": [`, `"statement": [`},
		{"a statement more", `"statements": [`, `"statements": [{},`},
		{"an empty field", `"impact_statement": "the`, `"status_notes": "", "impact_statement": "the`},
		{"a note of another status", `"action_statement"`, `"impact_statement"`},
		{"a status in capitals", `"status": "affected"`, `"status": "Affected"`},
		{"a key in capitals", `"status": "affected"`, `"Status": "affected"`},
		{"null", `"status": "affected"`, `"status": null`},
		{"last changed at another time", `"version": 1`, `"version": 1, "last_updated": "2026-11-20T10:00:00Z"`},
		{"its own time", `"status": "affected"`, `"status": "affected", "timestamp": "2026-11-20T10:00:00Z"`},
		{"no products", `"products": [`, `"products": [], "product": [`},
		{"a huge number", `"version": 1`, `"version": 1e400`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stated(t, verdicts()...)
			s.Predicate = []byte(strings.Replace(good, tt.old, tt.new, 1))
			if string(s.Predicate) == good {
				t.Fatal("the edit changes nothing")
			}
			if d, err := Parse(s); !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	s := stated(t)
	s.PredicateType = intoto.SPDX
	if _, err := Parse(s); !errors.Is(err, ErrPredicateType) {
		t.Errorf("another type: %v", err)
	}
}

// Whatever is read is what would be written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(stated(f, verdicts()...).Predicate))
	f.Add([]byte(stated(f).Predicate))
	f.Add([]byte(`{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"products":[{"subcomponents":[{}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(intoto.Statement{PredicateType: PredicateType, Predicate: data})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		form, err := d.predicate()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(intoto.Statement{PredicateType: PredicateType, Predicate: form})
		if err != nil || len(again.Verdicts) != len(d.Verdicts) {
			t.Errorf("%s: %v", form, err)
		}
	})
}
