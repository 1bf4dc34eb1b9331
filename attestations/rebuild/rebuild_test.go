package rebuild_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
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

// signedAs is a provenance that is documented, as it was signed.
func signedAs(t testing.TB, name string) (intoto.Statement, artifact.Digest) {
	t.Helper()
	data := must(os.ReadFile(filepath.Join("..", "provenance", "testdata", name)))(t)
	return must(intoto.Parse(data))(t), artifact.DigestBytes(data)
}

func given(t testing.TB) rebuild.Given {
	t.Helper()
	s, d := signedAs(t, "hardened.json")
	return must(rebuild.Artifact(must(provenance.Parse(s))(t), d))(t)
}

// same is a run in which everything came out as it was.
func same(t testing.TB, g rebuild.Given) rebuild.Run {
	t.Helper()
	tool := artifact.DigestBytes([]byte("palisade"))
	start := time.Date(2026, 11, 25, 21, 4, 5, 600, time.FixedZone("there", 3600))
	run := rebuild.Run{
		Rebuilder: provenance.Builder{
			ID: "https://palisade.example/builders/workstation/v1", Version: map[string]string{"palisade": "v0.7.0"},
			Dependencies: []intoto.Resource{{Name: "palisade@v0.7.0", URI: "pkg:golang/palisade@v0.7.0", Digest: intoto.Digests{"dirHash": tool.Hex()}}},
		},
		Rebuilt: map[string]artifact.Digest{},
		Varied:  []rebuild.Variation{{Name: "umask", Value: "0077"}, {Name: "cache", Value: "empty"}, {Name: "time zone", Value: "XXX-13:45"}},
		NotVaried: []rebuild.Variation{
			{Name: "user", Why: "no user namespace: operation not permitted"}, {Name: "host name", Why: "no user namespace: operation not permitted"},
			{Name: "order of files in a folder", Why: "no user namespace: operation not permitted"},
		},
		Metadata: provenance.Metadata{InvocationID: "0b6e7f6e-5a1c-4d55-9a37-0c5e1f7f7a11", StartedOn: start, FinishedOn: start.Add(4 * time.Minute)},
	}
	for _, s := range g.Compare {
		run.Rebuilt[s.Name] = must(artifact.ParseDigest("sha256:" + s.Digest["sha256"]))(t)
	}
	return run
}

func statement(t testing.TB) []byte {
	t.Helper()
	g := given(t)
	return must(intoto.Marshal(must(rebuild.Statement(g, same(t, g)))(t)))(t)
}

// The document ends with an attestation in its one form, and tells of every
// field.
func TestDocument(t *testing.T) {
	file, want := filepath.Join("..", "predicates", "rebuild.md"), string(statement(t))
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
	for _, of := range []reflect.Type{reflect.TypeFor[rebuild.Rebuild](), reflect.TypeFor[rebuild.Original](), reflect.TypeFor[rebuild.Compared](), reflect.TypeFor[rebuild.Variation]()} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if name != "-" && !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`"+name+".") && !strings.Contains(text, "."+name+"`") {
				t.Errorf("%s does not tell of %s", file, name)
			}
		}
	}
	if !strings.Contains(text, "`"+rebuild.PredicateType+"`") || !strings.Contains(text, "`A"+artifact.RebuildsSuffix+"/`") {
		t.Errorf("%s does not name the predicate type, or the folder", file)
	}
}

// What is given is everything that a provenance names as made.
func TestGiven(t *testing.T) {
	names := func(g rebuild.Given) (all []string) {
		for _, s := range g.Compare {
			all = append(all, s.Name)
		}
		return all
	}
	g := given(t)
	want := []string{
		"beacon-1.2.0-palisade.1.linux-amd64.tar.gz", "beacon-1.2.0-palisade.1.linux-amd64.tar.gz.spdx.json",
		"beacon-1.2.0-palisade.1.linux-amd64/beacon", "beacon-1.2.0-palisade.1.linux-amd64/beaconctl",
		"bin/linux-amd64/hardened/beacon.spdx.json",
	}
	if got := names(g); !slices.Equal(got, want) {
		t.Errorf("of an archive: %q, want %q", got, want)
	}
	// Of an image what it is made of, too, whichever of its digests is meant.
	s, d := signedAs(t, "image.json")
	p := must(provenance.ParseImage(s))(t)
	image := must(rebuild.Image(p, d))(t)
	all := len(p.Subject) + len(p.RunDetails.Byproducts) + 2*len(p.BuildDefinition.ExternalParameters.Platforms)
	if len(image.Compare) != all || len(image.Subject) != len(p.Subject) {
		t.Errorf("of an image: %q, want %d", names(image), all)
	}
	p.Subject = p.Subject[1:2]
	if one := must(rebuild.Image(p, d))(t); len(one.Compare) != all-len(image.Subject)+1 || len(one.Subject) != 1 {
		t.Errorf("of an index: %q", names(one))
	}
	if _, err := rebuild.Image(p, artifact.Digest{}); !errors.Is(err, rebuild.ErrInput) {
		t.Errorf("of a provenance without a digest: %v", err)
	}
	p.RunDetails.Byproducts = append(p.RunDetails.Byproducts, intoto.Resource{Name: p.Subject[0].Name, Digest: p.Subject[0].Digest})
	if _, err := rebuild.Image(p, d); !errors.Is(err, rebuild.ErrInput) {
		t.Errorf("of a name twice: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	g := given(t)
	run := same(t, g)
	back := must(rebuild.Parse(must(intoto.Parse(statement(t)))(t)))(t)
	if err := back.Check(g); err != nil {
		t.Error(err)
	}
	want := rebuild.Rebuild{
		Subject: g.Subject, Original: g.Original, Rebuilder: run.Rebuilder, Compared: back.Compared,
		Varied:    []rebuild.Variation{{Name: "cache", Value: "empty"}, {Name: "time zone", Value: "XXX-13:45"}, {Name: "umask", Value: "0077"}},
		NotVaried: []rebuild.Variation{{Name: "host name", Why: run.NotVaried[1].Why}, run.NotVaried[2], {Name: "user", Why: run.NotVaried[0].Why}},
		Metadata:  run.Metadata,
	}
	want.Metadata.StartedOn, want.Metadata.FinishedOn = run.Metadata.StartedOn.UTC().Truncate(time.Second), run.Metadata.FinishedOn.UTC().Truncate(time.Second)
	if !reflect.DeepEqual(back, want) {
		t.Errorf("read back:\n%+v\nwant\n%+v", back, want)
	}
	if run.Varied[0].Name != "umask" {
		t.Error("Statement changed what it was given")
	}
	// Where everything could be varied, the list is there and empty.
	run.NotVaried = nil
	if r := must(rebuild.Parse(must(rebuild.Statement(g, run))(t)))(t); r.NotVaried == nil || len(r.NotVaried) > 0 {
		t.Errorf("notVaried is %v", r.NotVaried)
	}
}

// An attestation is of the one provenance that it was made from.
func TestCheck(t *testing.T) {
	r := must(rebuild.Parse(must(intoto.Parse(statement(t)))(t)))(t)
	other := intoto.Digests{"sha256": artifact.DigestBytes([]byte("other")).Hex()}
	for _, tt := range []struct {
		name   string
		change func(g *rebuild.Given)
		want   error
	}{
		{"nothing", func(*rebuild.Given) {}, nil},
		{"nothing given", func(g *rebuild.Given) { *g = rebuild.Given{} }, rebuild.ErrOriginal},
		{"another provenance", func(g *rebuild.Given) { g.Original.Provenance = artifact.DigestBytes([]byte("other")) }, rebuild.ErrOriginal},
		{"another builder", func(g *rebuild.Given) { g.Original.Builder += "0" }, rebuild.ErrOriginal},
		{"another archive", func(g *rebuild.Given) { g.Subject[0].Digest = other }, rebuild.ErrSubject},
		{"another name", func(g *rebuild.Given) { g.Subject[0].Name = "x.tar.gz" }, rebuild.ErrSubject},
		{"a binary less", func(g *rebuild.Given) { g.Subject = g.Subject[:2] }, rebuild.ErrSubject},
		{"binaries in another order", func(g *rebuild.Given) { slices.Reverse(g.Subject[1:]) }, rebuild.ErrSubject},
		{"a document more", func(g *rebuild.Given) {
			g.Compare = append(g.Compare, intoto.Subject{Name: "z.spdx.json", Digest: other})
		}, rebuild.ErrCompared},
		{"another document", func(g *rebuild.Given) { g.Compare[1].Digest = other }, rebuild.ErrCompared},
	} {
		g := given(t)
		tt.change(&g)
		if err := r.Check(g); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := (rebuild.Rebuild{}).Check(rebuild.Given{}); !errors.Is(err, rebuild.ErrOriginal) {
		t.Errorf("of nothing, about nothing: %v", err)
	}
}

// As openssl and sha256sum tell it, see predicates/rebuild.md.
func TestBundleName(t *testing.T) {
	identity := bundle.Signer{Issuer: "https://issuer.example", Subject: "https://ci.example/rebuild"}
	for _, tt := range []struct {
		by   bundle.Signer
		want string
	}{
		{bundle.Signer{KeyID: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}, "0001020304050607.sigstore.json"},
		{identity, artifact.DigestBytes([]byte("https://issuer.example https://ci.example/rebuild")).Hex()[:16] + ".sigstore.json"},
	} {
		if got, err := rebuild.BundleName(tt.by); err != nil || got != tt.want || !rebuild.IsBundleName(got) {
			t.Errorf("%v: %s, %v, want %s", tt.by, got, err, tt.want)
		}
	}
	for _, by := range []bundle.Signer{{}, {Issuer: "x"}, {Subject: "x"}, {KeyID: "AAEC"}, {KeyID: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9="}, {KeyID: "../../x"}} {
		if got, err := rebuild.BundleName(by); !errors.Is(err, rebuild.ErrInput) || got != "" {
			t.Errorf("%v: %s, %v", by, got, err)
		}
	}
	for _, name := range []string{"", ".sigstore.json", "0001020304050607", "0001020304050607.json", "000102030405060.sigstore.json", "00010203040506070.sigstore.json", "000102030405060A.sigstore.json", "0001020304050607.sigstore.json\n", "x/0001020304050607.sigstore.json"} {
		if rebuild.IsBundleName(name) {
			t.Errorf("%q is the name of a bundle", name)
		}
	}
}
