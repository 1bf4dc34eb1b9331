package stories

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script that builds prometheus' interface mirrors upstream's and must
// stop when these change, having done nothing. It is run by the pinned Node.
func TestUIScriptRefusesChangedUpstream(t *testing.T) {
	if built.skip != "" {
		t.Skip(built.skip)
	}
	tool, err := built.box.PinnedNode(built.distribution.Toolchains.Node[0].Version)
	if err != nil {
		t.Fatal(err)
	}
	node, err := built.box.NPMTool(t.Context(), tool)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	files := map[string]string{
		"web/ui/package.json":                          `{"scripts":{"build:mantine-ui":"bash build_ui.sh --mantine-ui"}}`,
		"web/ui/mantine-ui/package.json":               `{"scripts":{"build":"tsc && vite build && curl example.org"}}`,
		"web/ui/module/lezer-promql/package.json":      `{"scripts":{"build":"bash ./build.sh","postbuild":"true"}}`,
		"web/ui/module/codemirror-promql/package.json": `{"scripts":{"build":"pnpm run build:lib","build:lib":"bash ./build.sh"}}`,
		"web/ui/build_ui.sh":                           "changed",
		"web/ui/module/lezer-promql/build.sh":          "changed",
		"web/ui/module/lezer-promql/rollup.config.js":  "changed",
		"web/ui/module/lezer-promql/generate-types.sh": "changed",
		"web/ui/module/codemirror-promql/build.sh":     "changed",
		"scripts/compress_assets.sh":                   "changed",
	}
	for name, content := range files {
		full := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		script := filepath.Join(built.root, "recipes", "prometheus", "ui.mjs")
		cmd := exec.Command(filepath.Join(node.Dir, "bin", "node"), append([]string{script}, args...)...)
		cmd.Dir = filepath.Join(root, "web/ui")
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			t.Fatalf("ended with %v: %s", err, out)
		}
		return string(out)
	}
	if out := run(); !strings.Contains(out, "its argument is missing") {
		t.Errorf("without an argument: %s", out)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	out := run(report)
	for _, says := range []string{
		"build_ui.sh has sha256", "module/lezer-promql/build.sh has", "rollup.config.js has", "generate-types.sh has", "module/codemirror-promql/build.sh has",
		"scripts/compress_assets.sh has", "curl example.org", "script postbuild",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("the refusal does not say %q:\n%s", says, out)
		}
	}
	if strings.Contains(out, "+ ") {
		t.Errorf("a step was taken:\n%s", out)
	}
	if _, err := os.Stat(report); err == nil {
		t.Error("a report was written")
	}
}
