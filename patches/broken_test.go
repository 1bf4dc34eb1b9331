package patches

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseBroken(t *testing.T) {
	var many strings.Builder
	for i := range MaxBroken + 1 {
		fmt.Fprintf(&many, "p Test%04d why\n", i)
	}
	for _, tt := range []struct{ text, want string }{
		{"# why\n\n. ExampleX says hello\nweb TestA/b_c, d listens\n", ". ExampleX says hello; web TestA/b_c, d listens"},
		{"web FuzzX one\nweb TestX/b/c two\nweb TestX/b2 three", "web FuzzX one; web TestX/b/c two; web TestX/b2 three"},
		{"", "u:1: names no test"},
		{"# none\n", "u:1: names no test"},
		{"web TestA\n", `u:1: "web TestA" is not a package's folder, a test and the reason`},
		{"web TestA \n", "u:1:"},
		{"web TestA  two spaces\n", "u:1:"},
		{"web TestA trailing \n", "u:1:"},
		{"web TestA carriage return\r\n", "u:1:"},
		{" TestA why\n", "u:1:"},
		{"/web TestA why\n", "u:1:"},
		{"web/ TestA why\n", "u:1:"},
		{"../web TestA why\n", "u:1:"},
		{"web BenchmarkA why\n", "u:1:"},
		{"web TestB why\nweb TestA why\n", "u:2: web TestA stands behind web TestB"},
		{"web TestA why\napi TestA why\n", "u:2: api TestA stands behind web TestA"},
		{"web TestA why\nweb TestA why\n", "u:2: TestA stands for TestA already"},
		{"web TestA why\nweb TestA/b why\n", "u:2: TestA stands for TestA/b already"},
		{many.String(), fmt.Sprintf("u:%d: more than %d tests", MaxBroken+1, MaxBroken)},
	} {
		all, err := parseBroken("u", []byte(tt.text))
		var got []string
		for _, b := range all {
			got = append(got, b.Package+" "+b.Test+" "+b.Reason)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%.40q: got %v, want %q", tt.text, err, tt.want)
			}
		} else if strings.Join(got, "; ") != tt.want {
			t.Errorf("%.40q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestLoadBroken(t *testing.T) {
	fsys := series(header + oneDiff)
	fsys["m/v1.0.0/upstream-tests"] = &fstest.MapFile{Data: []byte(". TestF holds f to a\n")}
	s, err := Load(fsys, "m", "v1.0.0")
	want := []BrokenTest{{".", "TestF", "holds f to a"}}
	if err != nil || !slices.Equal(s.Broken, want) || !slices.Equal(s.For("vanilla", "").Broken, want) {
		t.Errorf("got %+v, %v", s, err)
	}
	fsys["m/v1.0.0/upstream-tests"].Data = []byte("TestF\n")
	if _, err := Load(fsys, "m", "v1.0.0"); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "m/v1.0.0/upstream-tests:1:") {
		t.Errorf("got %v", err)
	}
}

func TestCovers(t *testing.T) {
	b := BrokenTest{Test: "TestA/b"}
	for name, want := range map[string]bool{"TestA/b": true, "TestA/b/c": true, "TestA/bc": false, "TestA": false, "TestAb": false} {
		if b.Covers(name) != want {
			t.Errorf("%s: not %v", name, want)
		}
	}
}

func TestFiles(t *testing.T) {
	second := strings.NewReplacer("/f", "/a", "-a\n", "-x\n", "+b\n", "+y\n").Replace(oneDiff)
	s, err := Load(series(header+oneDiff, header+second+oneDiff[1:]), "m", "v1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Files(), " "); got != "a f" {
		t.Errorf("got %s", got)
	}
}
