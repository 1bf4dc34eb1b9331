package provenance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"palisade/attestations/intoto"
)

// document is a page of attestations/predicates and its last example, which
// has to be the statement given.
func document(t *testing.T, name string, example []byte) string {
	t.Helper()
	file := filepath.Join("..", "predicates", name)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, got, ok := strings.Cut(string(data), "\n```json\n")
	if !ok {
		t.Fatalf("%s has no example", name)
	}
	if want := string(example) + "```\n"; *update {
		if err := os.WriteFile(file, []byte(text+"\n```json\n"+want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want {
		t.Errorf("the example of %s is another one; run with -update and look at the change", name)
	}
	return text
}

// The document of the build type names every key and every role that its
// example has, which has all there are.
func TestBuildTypeIsDocumented(t *testing.T) {
	text := document(t, "build.md", []byte(goldenText(t, "hardened.json")))
	for _, name := range []string{BuildType, PredicateType} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("build.md does not name %s", name)
		}
	}
	words := map[string]bool{}
	for _, m := range regexp.MustCompile("`([A-Za-z0-9.]+)`").FindAllStringSubmatch(text, -1) {
		for _, word := range strings.Split(m[1], ".") {
			words[word] = true
		}
	}
	for key := range keysOf(t, []byte(goldenText(t, "vanilla.json")), []byte(goldenText(t, "hardened.json")), []byte(goldenText(t, "workflow.json"))) {
		if !words[key] {
			t.Errorf("build.md does not explain %s", key)
		}
	}
	for role := range annotationOf {
		if !strings.Contains(text, "\n| `"+string(role)+"` |") {
			t.Errorf("build.md has no row for the role %s", role)
		}
	}
}

// keysOf is every key of the documents, but those below environment and
// version, which are anybody's.
func keysOf(t *testing.T, documents ...[]byte) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				keys[key] = true
				if key != "environment" && (key != "version" || v["id"] == nil) {
					walk(value)
				}
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	for _, data := range documents {
		var v struct{ Predicate, Subject any }
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		walk(v.Predicate)
		walk(v.Subject)
	}
	return keys
}

// The document of the test result shows what the audit's own test says it
// writes, which is a statement as every other.
func TestTestResultIsDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "magefiles", "internal", "audit", "testdata", "statement.json"))
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte("CHECKS"), []byte(digestOf("checks").Hex()), 1)
	text := document(t, "test-result.md", data)
	s, err := intoto.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "`"+s.PredicateType+"`") {
		t.Errorf("test-result.md does not name %s", s.PredicateType)
	}
	for key := range keysOf(t, data) {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("test-result.md does not explain %s", key)
		}
	}
	if _, err := Parse(s); err == nil {
		t.Error("a test result is read as a provenance")
	}
}
