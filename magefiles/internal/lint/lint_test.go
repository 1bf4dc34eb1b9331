package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// secretText is in every secret of the stories, and must be in nothing that is
// said.
const secretText = "hunter2"

// A story is files, and what is said of them. Its sections: lint (the files to
// lint, default the first, and perhaps kind=), modes (of files, default 0600),
// want (file:line:col: severity: id), error (what the error contains, line by
// line). Every other section is a file.
func TestStories(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no stories", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { story(t, name) })
	}
}

func story(t *testing.T, name string) {
	ar, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var args, want, wantErr []string
	var kind Kind
	modes := map[string]string{}
	for _, f := range ar.Files {
		lines := strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		switch f.Name {
		case "lint":
			for _, a := range strings.Fields(string(f.Data)) {
				if k, ok := strings.CutPrefix(a, "kind="); ok {
					kind = Kind(k)
				} else {
					args = append(args, a)
				}
			}
		case "modes":
			for _, l := range lines {
				mode, file, _ := strings.Cut(l, " ")
				modes[file] = mode
			}
		case "want":
			want = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
		case "error":
			wantErr = lines
		default:
			if err := os.MkdirAll(filepath.Dir(f.Name), 0o700); err != nil {
				t.Fatal(err)
			}
			data := f.Data
			if strings.HasPrefix(f.Name, "windows") {
				data = []byte("\ufeff" + strings.ReplaceAll(string(data), "\n", "\r\n"))
			}
			if err := os.WriteFile(f.Name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for file, mode := range modes {
		m, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, os.FileMode(m)); err != nil {
			t.Fatal(err)
		}
	}
	if args == nil {
		args = []string{ar.Files[0].Name}
	}
	report, err := Files(args, kind)
	var got []string
	for _, f := range report.Findings {
		got = append(got, fmt.Sprintf("%s:%d:%d: %s: %s", f.File, f.Line, f.Col, f.Severity, f.ID))
		if strings.Contains(f.String(), secretText) {
			t.Errorf("it says a secret: %s", f)
		}
		if f.What == "" || f.Instead == "" {
			t.Errorf("it does not say what, or what instead: %s", f)
		}
		t.Log(f)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	switch {
	case err == nil && wantErr != nil:
		t.Errorf("no error, want %q", wantErr)
	case err != nil && wantErr == nil:
		t.Errorf("error %v", err)
	}
	for _, w := range wantErr {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
	if err != nil && strings.Contains(err.Error(), secretText) {
		t.Errorf("the error says a secret: %v", err)
	}
}

// Every rule of the sources has a story that it tells.
func TestEveryRuleHasAStory(t *testing.T) {
	told := ""
	stories, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range stories {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		told += string(data)
	}
	rule := regexp.MustCompile(`(?:Error|Warning|severity), "([a-z-]+)"`)
	sources, _ := filepath.Glob("*.go")
	seen := 0
	for _, name := range sources {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllStringSubmatch(string(data), -1) {
			if seen++; m[1] != "too-many" && !strings.Contains(told, ": "+m[1]+"\n") {
				t.Errorf("%s: no story wants %s", name, m[1])
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d rules seen", seen)
	}
}

// What is shipped passes. Each component's configuration is beside its recipe.
func TestShippedConfigurations(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("..", "..", "..", "recipes", "*", "*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		// By its name: what holds nothing but comments has no keys to tell by.
		kind := map[string]Kind{"web-config.yml": Web}[filepath.Base(name)]
		report, err := Files([]string{name}, kind)
		if err != nil {
			t.Error(err)
		}
		for _, f := range report.Findings {
			if f.Severity == Error {
				t.Error(f)
			} else {
				t.Log(f)
			}
		}
	}
}

// The tables name what upstream still declares.
func TestDestinationsAreUpstreams(t *testing.T) {
	s := upstreamSchema()
	receiver := s.structs["alertmanager:alertmanager/config.Receiver"]
	for section := range receiver {
		if strings.HasSuffix(section, "_configs") && destinations[section] == nil {
			t.Errorf("nothing says where %s send to", section)
		}
	}
	for section, keys := range destinations {
		typ := strings.TrimPrefix(receiver[section], "[]")
		for _, key := range keys {
			if s.structs[typ][key] == "" {
				t.Errorf("%s: upstream has no %s", section, key)
			}
		}
	}
}

func TestRandom(t *testing.T) {
	for text, want := range map[string]bool{
		"q8ZrT2mK9xLw4VbN7cYp3Hd":                  false, // short
		"q8ZrT2mK9xLw4VbN7cYp3HdS":                 true,
		"2f1c9a7e-3b7d-4c55-9a0e-6d1f2b3c4d5e":     false,
		"ea31b40ea8e4c41b8c3ab2c2b3b8c91d8c0f7f5e": false, // a commit
		"ThePersistentVolumeClaim1OfCluster2":      false,
		"aaaaaaaaaaaaaaaaaaaaaaaaA1B2":             false,
	} {
		if got := random(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// What is too large, too deep or too many is refused, and quickly.
func TestBounds(t *testing.T) {
	bomb := "a0: &a0 [x, x]\n"
	for i := 1; i < 40; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"bomb":  {bomb, "nodes with its aliases"},
		"cycle": {"global: &g\n  a: *g\n", "contains itself"},
		"deep":  {strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested more than"},
		"large": {strings.Repeat("# \n", maxSize/3+1), "more than 16777216 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "prometheus.yml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Files([]string{file}, Prometheus); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	l := &linter{seen: map[Finding]bool{}, read: map[string]bool{}}
	if err := l.document("x.yml", []byte("global:\n"+strings.Repeat("  ", 1)+manyKeys(2*maxFindings)), Prometheus); err != nil {
		t.Fatal(err)
	}
	if n := len(l.findings); n != maxFindings+1 || l.findings[n-1].ID != "too-many" {
		t.Errorf("%d findings, the last %s", n, l.findings[n-1])
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n  ", i)
	}
	return b.String()
}

// Whatever a file holds, it is judged or refused, and its secret not said.
func FuzzDocument(f *testing.F) {
	stories, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range stories {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for i := range Kinds {
			f.Add(ar.Files[0].Data, byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, k byte) {
		if len(data) > 1<<16 {
			t.Skip()
		}
		dir := t.TempDir()
		l := &linter{seen: map[Finding]bool{}, read: map[string]bool{}}
		if err := l.document(filepath.Join(dir, "x.yml"), data, Kinds[int(k)%len(Kinds)]); err != nil {
			return
		}
		for _, f := range l.report().Findings {
			if f.Line < 1 || f.Col < 1 || f.What == "" || f.Instead == "" || strings.ContainsAny(f.String(), "\r\n\x1b") {
				t.Errorf("%q", f.String())
			}
		}
	})
}
