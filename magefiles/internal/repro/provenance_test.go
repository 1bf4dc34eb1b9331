package repro

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Of two provenances what is particular to a run may differ, and nothing else.
func TestProvenance(t *testing.T) {
	sample, err := os.ReadFile("../../../attestations/provenance/testdata/hardened.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"the invocation", `"invocationId": "`, `"invocationId": "0`, ""},
		{"the time", `"finishedOn": "2026`, `"finishedOn": "2027`, ""},
		{"the cache", `"cache": "shared"`, `"cache": "fresh"`, "[buildDefinition.internalParameters.cache]: differs"},
		{"the commit", `"gitCommit": "0a0a`, `"gitCommit": "ffff`, ".digest.gitCommit]: differs"},
		{"the state of the checkout", `"clean": "true"`, `"clean": "false"`, ".annotations.clean]: differs"},
		{"an order of keys", `"_type": "https://in-toto.io/Statement/v1",`, `"_type":  "https://in-toto.io/Statement/v1",`, "not in the form"},
		{"a statement of nothing", `"subject": [`, `"subjects": [`, "compared as bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.old != "" && !strings.Contains(string(sample), tt.old) {
				t.Fatalf("the sample does not hold %q", tt.old)
			}
			a, b := t.TempDir(), t.TempDir()
			const name = "bell.tar.gz.provenance.json"
			for dir, data := range map[string]string{a: string(sample), b: strings.Replace(string(sample), tt.old, tt.new, 1)} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Compare(a, b)
			if err != nil {
				t.Fatal(err)
			}
			var said string
			for _, d := range got {
				said += d.String() + "\n"
			}
			if tt.want == "" && said != "" || !strings.Contains(said, tt.want) {
				t.Errorf("got %q, want %q", said, tt.want)
			}
			// Under another name it is a file like any other.
			if tt.old != tt.new {
				for _, dir := range []string{a, b} {
					if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "other.json")); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := Compare(a, b); err != nil || len(got) == 0 {
					t.Errorf("as another file: %v, %v", got, err)
				}
			}
		})
	}
}

// So it is of the provenance of an image, which no archive's is like.
func TestProvenanceOfImages(t *testing.T) {
	samples := map[string]string{}
	for _, name := range []string{"image", "hardened"} {
		data, err := os.ReadFile("../../../attestations/provenance/testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		samples[name] = string(data)
	}
	for _, tt := range []struct{ name, a, b, want string }{
		{"nothing", samples["image"], samples["image"], ""},
		{"the invocation", samples["image"], strings.Replace(samples["image"], `"invocationId": "`, `"invocationId": "0`, 1), ""},
		{"the variant", samples["image"], strings.Replace(samples["image"], `"variant": "hardened"`, `"variant": "vanilla"`, 1), "[buildDefinition.externalParameters.variant]: differs"},
		{"an archive's", samples["image"], samples["hardened"], "[buildDefinition.buildType]: differs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t, "bell.oci.tar.provenance.json", []byte(tt.a), []byte(tt.b))
			if got := report(t, a, b); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
