package webui

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"palisade/attestations/artifact"
)

// bundle lays out a module whose interface holds entries beside the three
// files without which there is none.
func bundle(t *testing.T, entries ...string) BundleInput {
	t.Helper()
	source := t.TempDir()
	entries = append([]string{
		vfsPacked("/static/index.html", "index.html", 6, packed(t, "<html>")),
		vfsPacked("/static/script.js", "script.js", 6, packed(t, "script")),
		vfsPlain("/static/favicon.ico", "favicon.ico", "icon"),
	}, entries...)
	if err := writeBytes(source, bundleSource, []byte(vfs(entries...))); err != nil {
		t.Fatal(err)
	}
	return BundleInput{Module: artifact.Module{Path: "example.org/am", Version: "v0.31.1"}, Source: source, Out: filepath.Join(t.TempDir(), "out")}
}

func TestBundle(t *testing.T) {
	a, err := Bundle(t.Context(), bundle(t,
		vfsPacked("/static/lib/x/a.css", "a.css", 4, packed(t, "a {}")),
		vfsPacked("/static/lib/x/a.css.map", "a.css.map", 2, packed(t, "{}")),
		vfsPlain("/static/lib/x/f.otf", "f.otf", "font"),
		vfsPlain("/static/lib/x/f.woff", "f.woff", "font"),
		vfsPacked("/static/lib/x/f.woff2", "f.woff2", 5, packed(t, "font2")),
		vfsPlain("/templates/default.tmpl", "default.tmpl", "template"),
	))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"ui/app/dist/favicon.ico.gz": "icon",
		"ui/app/dist/index.html.gz":  "<html>",
		"ui/app/dist/lib/x/a.css.gz": "a {}",
		"ui/app/dist/lib/x/f.woff":   "font",
		"ui/app/dist/lib/x/f.woff2":  "font2",
		"ui/app/dist/script.js.gz":   "script",
	}
	for _, f := range a.Files {
		content := read(t, filepath.Join(a.Dir, f.Name))
		if strings.HasSuffix(f.Name, ".gz") {
			content = gunzip(t, filepath.Join(a.Dir, f.Name))
		}
		if w, ok := want[f.Name]; !ok || content != w {
			t.Errorf("%s holds %q, want %q", f.Name, content, w)
		}
		delete(want, f.Name)
		if f.Mode != "0644" || f.Digest.IsZero() {
			t.Errorf("recorded as %+v", f)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %q", want)
	}
	if a.UI.Kind != "bundle" || a.UI.Origin.Version != "v0.31.1" || a.UI.Note == "" || a.UI.Packages == nil || a.UI.Report != nil {
		t.Errorf("recorded as %+v", a.UI)
	}
}

func TestBundleRefuses(t *testing.T) {
	for name, entry := range map[string]string{
		"unknown type":    vfsPlain("/static/lib/a.wasm", "a.wasm", "a"),
		"no type":         vfsPlain("/static/lib/a", "a", "a"),
		"quoted name":     vfsPlain("/static/lib/a b.js", "a b.js", "a"),
		"hidden":          vfsPlain("/static/lib/.a.js", ".a.js", "a"),
		"not embedded":    vfsPlain("/static/lib/_a.js", "_a.js", "a"),
		"no embedded dir": vfsPlain("/static/_lib/a.js", "a.js", "a"),
	} {
		if _, err := Bundle(t.Context(), bundle(t, entry)); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: error %v, want ErrBundle", name, err)
		}
	}
	in := bundle(t)
	src := read(t, filepath.Join(in.Source, bundleSource))
	if err := writeBytes(in.Source, bundleSource, []byte(strings.ReplaceAll(src, "script.js", "other.js"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Bundle(t.Context(), in); !errors.Is(err, ErrBundle) || !strings.Contains(err.Error(), "script.js") {
		t.Errorf("without script.js: %v", err)
	}
	in = bundle(t)
	if err := writeBytes(in.Out, "old", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Bundle(t.Context(), in); err == nil {
		t.Error("wrote into a directory that was not empty")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Bundle(ctx, bundle(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// gunzip also checks that the header tells nothing of where and when.
func gunzip(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "" || r.ModTime.Unix() > 0 || r.Comment != "" || len(r.Extra) > 0 {
		t.Errorf("%s has header %+v", name, r.Header)
	}
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
