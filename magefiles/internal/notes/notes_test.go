package notes

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/attestations/vex"
)

var update = flag.Bool("update", false, "write the notes of the samples into testdata")

func digest(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

func platform(t *testing.T, s string) artifact.Platform {
	t.Helper()
	p, err := artifact.ParsePlatform(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// record is an artifact of one component, which patches change.
func record(t *testing.T, component, upstream, version, on, goes string, patches ...artifact.PatchFile) artifact.Record {
	p := platform(t, on)
	r := artifact.Record{
		Name: component + "-" + version + "." + p.Slug() + ".tar.gz", Component: component, Version: version, UpstreamVersion: upstream,
		Platform: p, Variant: "hardened", Source: artifact.Module{Path: "example.org/" + component, Version: "v" + upstream, Sum: "h1:x"},
		Toolchains: []artifact.Tool{{Name: "go", Version: goes}},
	}
	r.Digest, r.Recipe = digest(r.Name+goes), digest(component)
	if len(patches) > 0 {
		r.Patched = []artifact.Patched{{Patches: patches}}
	}
	return r
}

func manifest(records ...artifact.Record) *artifact.Manifest {
	m := &artifact.Manifest{Schema: artifact.ManifestSchema, Distribution: "palisade", Artifacts: records}
	m.Sort()
	return m
}

func patched(name string) artifact.PatchFile {
	return artifact.PatchFile{Name: name, Digest: digest(name)}
}

func known(at string, verdicts ...vex.Verdict) vex.Document {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		panic(err)
	}
	return vex.Document{Data: vex.Data{Scanner: "golang.org/x/vuln@v1.8.0", Digest: digest(at), Modified: t}, Verdicts: verdicts}
}

// first is the first release of two components, for two platforms.
func first(t *testing.T) Input {
	tls, login := patched("toolkit/v0.20.0/0001-tls.patch"), patched("beacon/v1.0.0/0001-login.patch")
	m := manifest(
		record(t, "beacon", "1.0.0", "1.0.0-palisade.1", "linux/amd64", "1.26.8", tls, login),
		record(t, "beacon", "1.0.0", "1.0.0-palisade.1", "linux/arm64", "1.26.8", tls, login),
		record(t, "bell", "2.0.0", "2.0.0-palisade.1", "linux/amd64", "1.26.8", tls))
	in := Input{
		Distribution: "palisade", Release: "1.0.0", First: true, Commit: strings.Repeat("0a", 20), New: m,
		Summaries: map[artifact.Digest]string{tls.Digest: "TLS by itself, from a *certificate* of its own", login.Digest: "Nobody comes in without a password"},
		Audits: map[string]Audit{
			m.Artifacts[0].Name: {Result: "PASSED", Passed: 31, Skipped: 2},
			m.Artifacts[2].Name: {Result: "FAILED", Passed: 30, Failed: []string{"web.headers"}, Skipped: 2},
		},
		Known: map[string]vex.Document{},
	}
	for _, r := range m.Artifacts {
		in.Known[r.Name] = known("2026-11-20T10:00:00Z")
	}
	return in
}

// next is the release after it, of which records replaces all.
func next(t *testing.T, records ...artifact.Record) Input {
	was := first(t)
	in := Input{Distribution: "palisade", Release: "1.1.0", Since: "1.0.0", Old: was.New, New: manifest(records...), Summaries: was.Summaries, Audits: map[string]Audit{}, Known: map[string]vex.Document{}}
	for _, r := range in.New.Artifacts {
		in.Audits[r.Name] = Audit{Result: "PASSED", Passed: 31}
		in.Known[r.Name] = known("2026-12-01T00:00:00Z")
	}
	return in
}

func samples(t *testing.T) map[string]Input {
	tls, login := patched("toolkit/v0.20.0/0001-tls.patch"), patched("beacon/v1.0.0/0001-login.patch")
	same := []artifact.Record{
		record(t, "beacon", "1.0.0", "1.0.0-palisade.1", "linux/arm64", "1.26.8", tls, login),
		record(t, "bell", "2.0.0", "2.0.0-palisade.1", "linux/amd64", "1.26.8", tls),
	}

	// One patch more, one that is another now, all else as before.
	ours := patched("beacon/v1.0.0/0002-logout.patch")
	other := tls
	other.Digest = digest("a better one")
	patchOnly := next(t, append(same[1:], record(t, "beacon", "1.0.0", "1.0.0-palisade.2", "linux/amd64", "1.26.8", other, login, ours))...)
	patchOnly.Summaries = map[artifact.Digest]string{ours.Digest: "Whoever came in can go", other.Digest: "TLS 1.3 by itself"}

	// Upstream's next release, in which a dependency is raised, with a newer Go, and
	// the patches carried over; an advisory that is answered, and one that is not.
	carried := patched("beacon/v1.1.0/0001-login.patch")
	carried.Digest = login.Digest
	dependency := next(t, append(same[1:], record(t, "beacon", "1.1.0", "1.1.0-palisade.1", "linux/amd64", "1.26.9", tls, carried))...)
	changes := []spdx.Change{
		{Kind: spdx.LicenceChanged, What: spdx.OfModule, Name: "example.org/glass", From: "MIT", To: "ISC"},
		{Kind: spdx.Added, What: spdx.OfModule, Name: "example.org/lens", To: "v0.1.0"},
		{Kind: spdx.Raised, What: spdx.OfArtifact, Name: "beacon", From: "1.0.0-palisade.1", To: "1.1.0-palisade.1"},
		{Kind: spdx.Raised, What: spdx.OfModule, Name: "example.org/glass", From: "v1.2.0", To: "v1.2.1"},
		{Kind: spdx.Raised, What: spdx.OfModule, Name: "example.org/beacon (patched)", From: "v1.0.0-0.palisade.1", To: "v1.1.0-0.palisade.1"},
		{Kind: spdx.Raised, What: spdx.OfToolchain, Name: "golang.org/toolchain", From: "1.26.8", To: "1.26.9"},
		{Kind: spdx.Requires, What: spdx.OfModule, Name: "example.org/beacon", To: "example.org/lens"},
		{Kind: spdx.Changed, What: spdx.OfModule, Name: "example.org/glass", Detail: "qualifiers", From: "a", To: "b"},
	}
	dependency.Changes = []Changed{{Archive: dependency.New.Artifacts[0].Name, Changes: changes}, {Archive: dependency.New.Artifacts[1].Name, Changes: changes[3:4]}}
	open := vex.Verdict{ID: "GO-2026-4002", Module: "example.org/glass", Version: "v1.2.1", Status: vex.Affected, Note: "raise example.org/glass to v1.2.2"}
	dependency.Known[dependency.New.Artifacts[0].Name] = known("2026-12-01T00:00:00Z",
		vex.Verdict{ID: "GO-2026-4001", Aliases: []string{"CVE-2026-1111"}, Module: vex.Std, Version: "1.26.9", Status: vex.NotAffected, Justification: vex.CodeNotPresent}, open)
	dependency.Known[dependency.New.Artifacts[1].Name] = known("2026-12-01T00:00:00Z", open)

	// A patch that upstream took, a component that is no longer there, one that is new.
	dropped := next(t, record(t, "beacon", "1.1.0", "1.1.0-palisade.1", "linux/amd64", "1.26.8", tls), record(t, "horn", "0.1.0", "0.1.0-palisade.1", "linux/amd64", "1.26.8", tls))
	delete(dropped.Audits, dropped.New.Artifacts[1].Name)
	delete(dropped.Known, dropped.New.Artifacts[1].Name)
	dropped.Since = ""

	same = append(same, record(t, "beacon", "1.0.0", "1.0.0-palisade.1", "linux/amd64", "1.26.8", tls, login))
	unchanged := next(t, same...)
	unchanged.Known = nil

	alone := first(t)
	alone.First, alone.Release = false, ""

	return map[string]Input{"alone": alone, "first": first(t), "patch-only": patchOnly, "dependency": dependency, "dropped-patch": dropped, "unchanged": unchanged, "hostile": hostile(t)}
}

// evil is a text that would be all that a text must not be.
const evil = "x\n# not a heading\n| a | b |\n<img src=x onerror=y>[here](https://evil.example)![i](x) @somebody #1 `code` www.evil.example \u202egnp.\x1b[2J $math$ ```\n"

func hostile(t *testing.T) Input {
	p := patched("toolkit/v0.20.0/0001-tls.patch")
	p.Name = "x|y`<b>/v0/" + "0001-\u202e.patch"
	r := record(t, "beacon", "1.0.0", "1.0.0-palisade.2", "linux/amd64", "1.26.8", p)
	r.UpstreamVersion, r.Version, r.Component = evil, evil, evil
	in := next(t, r)
	in.Distribution, in.Since, in.Commit = evil, evil, evil
	in.Summaries = map[artifact.Digest]string{p.Digest: evil}
	in.Old.Artifacts[0].Component = evil + "gone"
	name := r.Name
	in.Changes = []Changed{{Archive: name, Changes: []spdx.Change{
		{Kind: spdx.Raised, What: spdx.OfModule, Name: evil, From: evil, To: evil + "2"},
		{Kind: spdx.LicenceChanged, What: spdx.OfModule, Name: evil, From: evil, To: evil + "2"},
	}}}
	in.Audits[name] = Audit{Result: "FAILED", Failed: []string{evil}}
	in.Known[name] = known("2026-12-01T00:00:00Z", vex.Verdict{ID: evil, Aliases: []string{evil}, Module: evil, Version: evil, Status: vex.Status(evil), Justification: evil, Note: evil})
	return in
}

func TestMarkdown(t *testing.T) {
	for name, in := range samples(t) {
		got, err := Markdown(in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Markdown(in)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%s: it is not the same again", name)
		}
		golden := filepath.Join("testdata", name+".md")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: differs from %s; run with -update and read what git says:\n%s", name, golden, got)
		}
	}
}

// Whatever stands in a text, the page has the lines, headings and columns that it
// has without it, and no link, tag, mention or control character.
func TestMarkdownIsText(t *testing.T) {
	out, err := Markdown(hostile(t))
	if err != nil {
		t.Fatal(err)
	}
	columns, fence := 0, false
	for i, line := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(line, "```") {
			fence = !fence
		}
		if fence {
			continue
		}
		if strings.ContainsAny(line, "\x1b\u202e\r") {
			t.Errorf("line %d has a character that does not show: %q", i+1, line)
		}
		bare := unescaped(line)
		for _, not := range []string{"<", "](", "@", "://", "www.", "![", "$", "~~"} {
			if strings.Contains(bare, not) {
				t.Errorf("line %d has %s: %s", i+1, not, line)
			}
		}
		if strings.HasPrefix(line, "#") && strings.Contains(line, "not a heading") && !strings.HasPrefix(line, "# x ") {
			t.Errorf("line %d became a heading: %s", i+1, line)
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(bare, "|")
		if columns != 0 && n != columns {
			t.Errorf("line %d has %d columns of %d: %s", i+1, n, columns, line)
		}
		columns = n
	}
	if fence {
		t.Error("a fence is open at the end")
	}
}

// unescaped is a line without what is escaped in it or in code.
func unescaped(line string) string {
	var b strings.Builder
	code := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\':
			i++
		case line[i] == '`':
			code = !code
		case !code || line[i] == '|':
			b.WriteByte(line[i])
		}
	}
	return b.String()
}

func TestMarkdownRefuses(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"no release":                  func(in *Input) { in.New = nil },
		"an empty release":            func(in *Input) { in.New = manifest() },
		"a malformed release":         func(in *Input) { in.New.Schema = "x" },
		"the first with one before":   func(in *Input) { in.Old = in.New },
		"the first since another":     func(in *Input) { in.Since = "0.9.0" },
		"a version that is no name":   func(in *Input) { in.Release = "1.0.0; rm -rf /" },
		"an artifact that is no name": func(in *Input) { in.New.Artifacts[0].Name = "$(reboot)" },
		"changes of nothing":          func(in *Input) { in.Changes = []Changed{{Archive: "none"}} },
		"an audit of nothing":         func(in *Input) { in.Audits["none"] = Audit{Result: "PASSED", Passed: 1} },
		"an audit without a verdict":  func(in *Input) { in.Audits[in.New.Artifacts[0].Name] = Audit{Passed: 1} },
		"an audit that passed and failed": func(in *Input) {
			in.Audits[in.New.Artifacts[0].Name] = Audit{Result: "PASSED", Passed: 1, Failed: []string{"a"}}
		},
		"an audit that looked at nothing": func(in *Input) { in.Audits[in.New.Artifacts[0].Name] = Audit{Result: "PASSED"} },
		"vulnerabilities of nothing":      func(in *Input) { in.Known["none"] = vex.Document{} },
	} {
		in := first(t)
		change(&in)
		if out, err := Markdown(in); !errors.Is(err, ErrInput) {
			t.Errorf("%s: got %v\n%s", name, err, out)
		}
	}
}
