package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/archive"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/upstream"
)

// releasedTwice is a directory of results with a vanilla node_exporter of no
// program, and upstream's archive of the same.
func releasedTwice(t *testing.T) (cfg *config.Config, theirs string) {
	t.Helper()
	cfg = built1(t)
	plan, err := pipeline.NewPlan(cfg, Selection{Component: "node_exporter", Variant: vanilla})
	must(t, err)
	recipe := plan.Cells[0].Recipe
	licence := filepath.Join(t.TempDir(), "LICENSE")
	must(t, os.WriteFile(licence, []byte("licence\n"), 0o644))
	pack := func(name, folder string) artifact.Digest {
		f, err := os.Create(name)
		must(t, err)
		_, err = archive.TarGz(f, recipe.Released, []archive.Member{{Name: folder + "/LICENSE", Mode: 0o644, Content: licence}})
		must(t, err)
		must(t, f.Close())
		d, _, err := artifact.DigestFile(name)
		must(t, err)
		return d
	}
	name := "node_exporter-" + recipe.Version + "-vanilla.linux-amd64"
	digest := pack(filepath.Join(cfg.Dist, name+".tar.gz"), name)
	index, err := readIndex(cfg)
	must(t, err)
	r := index.Artifacts[0]
	r.Name, r.Digest, r.Variant, r.Recipe = name+".tar.gz", digest, vanilla, recipe.Digest
	index.Artifacts = append(index.Artifacts, r)
	index.Sort()
	data, err := index.Encode()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(cfg.Dist, "release.json"), data, 0o644))
	theirs = filepath.Join(t.TempDir(), "node_exporter-"+recipe.Version+".linux-amd64.tar.gz")
	pack(theirs, "node_exporter-"+recipe.Version+".linux-amd64")
	return cfg, theirs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpstream(t *testing.T) {
	cfg, theirs := releasedTwice(t)
	good := UpstreamRequest{Component: "node_exporter", Path: theirs}
	source := func(context.Context, *config.Config, *pipeline.Plan) (upstream.Source, error) {
		return upstream.Source{}, nil
	}
	report, err := compareUpstream(t.Context(), cfg, good, source)
	must(t, err)
	must(t, judgeUpstream(report))
	if len(report.Findings) != 1 || report.Findings[0].Reason != upstream.Variant {
		t.Errorf("%v, want the variant alone", report.Findings)
	}
	page := pageOf(report)
	for _, want := range []string{"ALIKE    LICENSE: the same 8 bytes\n", "DIFFERS  folder: node_exporter-", "\n  variant: what has no patches"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "  toolchain: ") {
		t.Errorf("a reason that nothing has:\n%s", page)
	}
	for _, tt := range []struct {
		name   string
		change func(*UpstreamRequest)
		status int
		want   string
	}{
		{"no component", func(r *UpstreamRequest) { r.Component = "" }, 2, "say which component"},
		{"no path", func(r *UpstreamRequest) { r.Path = "" }, 2, "say which component"},
		{"two components", func(r *UpstreamRequest) { r.Component = "node_exporter,pushgateway" }, 2, "name one component"},
		{"no such component", func(r *UpstreamRequest) { r.Component = "node" }, 2, "; there are: "},
		{"another variant", func(r *UpstreamRequest) { r.Variant = "hardened" }, 2, "there are: vanilla"},
		{"what was not built", func(r *UpstreamRequest) { r.Platform = "linux/arm64" }, 2, "run mage build -component=node_exporter -platform=linux/arm64 -variant=vanilla"},
		{"nothing there", func(r *UpstreamRequest) { r.Path += "x" }, 2, "there is nothing at"},
		{"a folder", func(r *UpstreamRequest) { r.Path = filepath.Dir(r.Path) }, 2, "not a regular file"},
		{"no archive", func(r *UpstreamRequest) { r.Path = filepath.Join(cfg.Dist, "release.json") }, 1, "neither a tar archive"},
	} {
		req := good
		tt.change(&req)
		if _, err := compareUpstream(t.Context(), cfg, req, source); err == nil || status(outcome(err)) != tt.status || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want status %d and %q", tt.name, err, tt.status, tt.want)
		}
	}
	if _, err := compareUpstream(t.Context(), cfg, good, func(context.Context, *config.Config, *pipeline.Plan) (upstream.Source, error) {
		return upstream.Source{}, errUnread
	}); !errors.Is(err, errUnread) {
		t.Errorf("upstream's source cannot be read: %v", err)
	}
	// What was built by another recipe says nothing of this one.
	index, err := readIndex(cfg)
	must(t, err)
	i := slices.IndexFunc(index.Artifacts, func(r artifact.Record) bool { return r.Variant == vanilla })
	ours, recipe := filepath.Join(cfg.Dist, index.Artifacts[i].Name), index.Artifacts[i].Recipe
	for _, tt := range []struct {
		digest artifact.Digest
		want   string
	}{{artifact.DigestBytes([]byte("another recipe")), "was built by another recipe"}, {recipe, ""}} {
		index.Artifacts[i].Recipe = tt.digest
		data, err := index.Encode()
		must(t, err)
		must(t, os.WriteFile(filepath.Join(cfg.Dist, "release.json"), data, 0o644))
		if _, err := compareUpstream(t.Context(), cfg, good, source); (err == nil) != (tt.want == "") || err != nil && (status(outcome(err)) != 3 || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	data, err := os.ReadFile(ours)
	must(t, err)
	must(t, os.WriteFile(ours, append(data, 'x'), 0o644))
	if _, err := compareUpstream(t.Context(), cfg, good, source); err == nil || status(outcome(err)) != 3 || !strings.Contains(err.Error(), "is not what was built") {
		t.Errorf("an archive that is longer by a byte: %v", err)
	}
}

var errUnread = errors.New("unread")

// What differs without a reason, and what could not be compared, is refused alike.
func TestJudgeUpstream(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report upstream.Report
		status int
	}{
		{"alike", upstream.Report{Agreements: []upstream.Agreement{{What: "x"}}}, 0},
		{"explained", upstream.Report{Findings: []upstream.Finding{{Reason: upstream.Packing}}}, 0},
		{"unexplained", upstream.Report{Findings: []upstream.Finding{{Reason: upstream.Packing}, {Reason: upstream.Unexplained}}}, 3},
		{"not seen", upstream.Report{Unseen: []upstream.Agreement{{What: "x"}}}, 3},
	} {
		err := judgeUpstream(tt.report)
		if (err != nil) != (tt.status != 0) || err != nil && (status(err) != tt.status || !errors.Is(err, ErrUpstream)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// The assets are those of upstream's own module, file by file.
func TestAssetsOf(t *testing.T) {
	root, err := filepath.Abs("../../..")
	must(t, err)
	generated := "package asset\n\nimport \"time\"\n\nvar Assets = func() http.FileSystem {\n\tfs := vfsgen۰FS{\n" +
		"\"/\": &vfsgen۰DirInfo{name: \"/\", modTime: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)},\n" +
		"\"/a\": &vfsgen۰FileInfo{name: \"a\", modTime: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), content: []byte(\"page\")},\n" +
		"\t}\n\treturn fs\n}()\n"
	plan, err := pipeline.NewPlan(&config.Config{Root: root, Host: artifact.Platform{OS: "linux", Arch: "amd64"}}, Selection{Component: "pushgateway", Variant: vanilla})
	must(t, err)
	recipe := plan.Cells[0].Recipe
	assets, err := assetsOf(fstest.MapFS{"asset/assets_vfsdata.go": {Data: []byte(generated)}}, recipe)
	if err != nil || len(assets) != 1 || string(assets["asset/assets_vfsdata.go#a"]) != "page" {
		t.Errorf("%q, %v", assets, err)
	}
	for name, content := range map[string]string{"asset/assets_vfsdata.go": "package asset\n", "asset/other.go": ""} {
		if _, err := assetsOf(fstest.MapFS{name: {Data: []byte(content)}}, recipe); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
