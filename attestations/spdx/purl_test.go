package spdx

import (
	"testing"

	packageurl "github.com/package-url/packageurl-go"

	"palisade/attestations/artifact"
)

// A package URL names what it was made of: a parser gives back the version
// and, but for the capitals that it lowers, the name.
func TestPURL(t *testing.T) {
	tests := []struct{ got, want, namespace, name, version string }{
		{GoPURL("github.com/prometheus/common", "v0.70.0"), "pkg:golang/github.com/prometheus/common@v0.70.0", "github.com/prometheus", "common", "v0.70.0"},
		{GoPURL("github.com/Azure/go-sdk/v2", "v2.0.0"), "pkg:golang/github.com/Azure/go-sdk/v2@v2.0.0", "github.com/azure/go-sdk", "v2", "v2.0.0"},
		{GoPURL("example.org/old", "v3.0.0+incompatible"), "pkg:golang/example.org/old@v3.0.0%2Bincompatible", "example.org", "old", "v3.0.0+incompatible"},
		{GoPURL("go.uber.org/x~y", "v0.0.0-20240102030405-0123456789ab"), "pkg:golang/go.uber.org/x~y@v0.0.0-20240102030405-0123456789ab", "go.uber.org", "x~y", "v0.0.0-20240102030405-0123456789ab"},
		{GoPURL("gopkg.in/yaml.v2", "v2.4.0"), "pkg:golang/gopkg.in/yaml.v2@v2.4.0", "gopkg.in", "yaml.v2", "v2.4.0"},
		{StdPURL("1.26.8"), "pkg:golang/stdlib@1.26.8", "", "stdlib", "1.26.8"},
		{NPMPURL("@mantine/core", "9.5.0"), "pkg:npm/%40mantine/core@9.5.0", "@mantine", "core", "9.5.0"},
		{NPMPURL("JSONStream", "1.0.0-rc.1+b"), "pkg:npm/JSONStream@1.0.0-rc.1%2Bb", "", "JSONStream", "1.0.0-rc.1+b"},
		{ToolPURL(artifact.Tool{Package: goTool, Hash: "h1:x"}), "pkg:golang/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", "golang.org", "toolchain", "v0.0.1-go1.26.8.linux-amd64"},
		{ToolPURL(artifact.Tool{Package: "@pnpm/exe@10.28.0", Hash: "sha512-x"}), "pkg:npm/%40pnpm/exe@10.28.0", "@pnpm", "exe", "10.28.0"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
		p, err := packageurl.FromString(tt.got)
		if err != nil || p.Namespace != tt.namespace || p.Name != tt.name || p.Version != tt.version {
			t.Errorf("%s reads as %q %q %q, %v", tt.got, p.Namespace, p.Name, p.Version, err)
		}
	}
	if got := ToolPURL(artifact.Tool{Package: "node"}); got != "" {
		t.Errorf("a tool without a version has the package URL %s", got)
	}
}

// Where a module is had is written as the module proxy wants it: capitals as
// "!" and the small letter.
func TestGoZip(t *testing.T) {
	for _, tt := range []struct{ path, version, address, name string }{
		{"github.com/Azure/x", "v1.0.0", "https://proxy.golang.org/github.com/!azure/x/@v/v1.0.0.zip", "v1.0.0.zip"},
		{"example.org/old", "v3.0.0+incompatible", "https://proxy.golang.org/example.org/old/@v/v3.0.0+incompatible.zip", "v3.0.0+incompatible.zip"},
		{"example.org/x", "v1.0.0-Beta", "https://proxy.golang.org/example.org/x/@v/v1.0.0-!beta.zip", "v1.0.0-!beta.zip"},
		{"not a path", "v1.0.0", "", ""},
	} {
		address, name, err := goZip(tt.path, tt.version)
		if address != tt.address || name != tt.name || (err == nil) != (tt.address != "") {
			t.Errorf("%s %s is had at %q as %q, %v", tt.path, tt.version, address, name, err)
		}
	}
}

func TestGoSupplier(t *testing.T) {
	for path, want := range map[string]string{
		"github.com/prometheus/common": "github.com/prometheus (https://github.com/prometheus)",
		"github.com/Azure/x/sdk/y":     "github.com/Azure (https://github.com/Azure)",
		"git.sr.ht/~sbinet/gg":         "git.sr.ht/~sbinet (https://git.sr.ht/~sbinet)",
		"golang.org/x/net":             "golang.org (https://golang.org)",
		"k8s.io/api":                   "k8s.io (https://k8s.io)",
		"gopkg.in/yaml.v2":             "gopkg.in (https://gopkg.in)",
		"github.com":                   "github.com (https://github.com)",
	} {
		if got := goSupplier(path); got.SupplierType != "Organization" || got.Supplier != want {
			t.Errorf("%s is supplied by %s: %s, want %s", path, got.SupplierType, got.Supplier, want)
		}
	}
}

func TestPackageSupplier(t *testing.T) {
	for _, tt := range []struct{ purl, stated, want string }{
		{"pkg:npm/%40mantine/core@9.5.0", "", "Organization: npmjs.com/@mantine (https://www.npmjs.com/package/@mantine/core/v/9.5.0)"},
		{"pkg:npm/ticks@1.0.0", "", "Organization: npmjs.com/ticks (https://www.npmjs.com/package/ticks/v/1.0.0)"},
		{"pkg:elm/elm/core@1.0.0", "", "Organization: package.elm-lang.org/elm (https://package.elm-lang.org/packages/elm/core/1.0.0/)"},
		{"pkg:github/twbs/bootstrap@4.6.2", "", "Organization: github.com/twbs (https://github.com/twbs/bootstrap)"},
		{"pkg:npm/ticks@1.0.0", "Person: Ada (ada@lamp.example)", "Person: Ada (ada@lamp.example)"},
		{"pkg:npm/ticks@1.0.0", `Person: "Cowboy" Ben (https://ben.example) (twice)`, "Person: Cowboy Ben (https://ben.example)"},
		{"pkg:npm/ticks@1.0.0", "Organization: Ticks Ltd", "Organization: Ticks Ltd (https://www.npmjs.com/package/ticks/v/1.0.0)"},
		{"pkg:npm/ticks@1.0.0", "Person: (ada@lamp.example)", "Person: npmjs.com/ticks (ada@lamp.example)"},
		{"pkg:npm/ticks@1.0.0", "Ada", ""},
		{"pkg:generic/ticks@1.0.0", "", ""},
	} {
		purl, err := packageurl.FromString(tt.purl)
		if err != nil {
			t.Fatal(err)
		}
		got, err := packageSupplier(purl, tt.stated)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s, %q: supplied by %v, want an error", tt.purl, tt.stated, got)
			}
			continue
		}
		if err != nil || got.SupplierType+": "+got.Supplier != tt.want || !addressed.MatchString(got.Supplier) {
			t.Errorf("%s, %q: supplied by %v, %v, want %s", tt.purl, tt.stated, got, err, tt.want)
		}
	}
}

func TestCPE(t *testing.T) {
	for version, want := range map[string]string{
		"3.15.0":      "cpe:2.3:a:x:y:3.15.0:*:*:*:*:*:*:*",
		"1.0.0-rc.1":  "cpe:2.3:a:x:y:1.0.0-rc.1:*:*:*:*:*:*:*",
		"1.0.0+b":     `cpe:2.3:a:x:y:1.0.0\+b:*:*:*:*:*:*:*`,
		"1.0.0:evil*": `cpe:2.3:a:x:y:1.0.0\:evil\*:*:*:*:*:*:*:*`,
	} {
		if got := cpe("cpe:2.3:a:x:y", version); got != want || !cpeForm.MatchString(got) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
