package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := file("good.yml", "scrape_configs: [{job_name: a}]\n")
	bad := file("bad.yml", "scrape_configs: [{job_name: a, honor_labels: true}]\n")
	warned := file("warned.yml", "scrape_configs: [{job_name: a, tls_config: {server_name: b}}]\n")
	broken := file("broken.yml", "scrape_configs: [\n")
	unknown := file("unknown.yml", "foo: 1\n")
	for _, tt := range []struct {
		files, kind string
		status      int
		summary     string
	}{
		{good, "", 0, "0 errors, 0 warnings in 1 file\n"},
		{warned, "", 0, "0 errors, 1 warning in 1 file\n"},
		{good + "," + bad, "prometheus", 3, "1 error, 0 warnings in 2 files\n"},
		{bad + "," + broken, "", 1, "1 error, 0 warnings in 1 file\n"},
		{unknown, "", 1, "0 errors, 0 warnings in 0 files\n"},
		{filepath.Join(dir, "none.yml"), "", 1, "0 errors, 0 warnings in 0 files\n"},
		{good, "web", 3, "2 errors, 0 warnings in 1 file\n"},
		{good, "nonsense", 2, ""},
		{",", "", 2, ""},
	} {
		text, err := said(t, func() error { return Lint(tt.files, tt.kind) })
		got := 0
		if err != nil {
			got = status(err)
		}
		if got != tt.status || !strings.HasSuffix(text, tt.summary) || tt.summary == "" && text != "" {
			t.Errorf("%s %s: status %d, want %d: %v\n%s", tt.files, tt.kind, got, tt.status, err, text)
		}
	}
}
