package command

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/archive"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// handed is a hand-over of files, all with the same content.
func handed(t *testing.T, h handover.Header, names ...string) *handover.File {
	t.Helper()
	work := folderWith(t, names...)
	h.Plan, h.Commit, h.Tool = artifact.DigestBytes([]byte("a plan")), strings.Repeat("ab", 20), artifact.DigestBytes(nil).String()
	var err error
	if h.Files, err = handover.Files(t.Context(), work, handover.All); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "x.tar")
	if _, err := handover.Write(t.Context(), name, h, work); err != nil {
		t.Fatal(err)
	}
	f, err := handover.Open(t.Context(), name, handover.Want{Step: h.Step, Plan: h.Plan})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func folderWith(t *testing.T, names ...string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	for _, name := range names {
		if err := errors.Join(root.MkdirAll(filepath.Dir(name), 0o755), root.WriteFile(name, []byte("content"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Every shard has its audit, and every audit is of a shard that is there.
func TestPaired(t *testing.T) {
	one, two := handover.Shard{Number: 1, Of: 2}, handover.Shard{Number: 2, Of: 2}
	build := func(s handover.Shard, name string) *handover.File {
		return handed(t, handover.Header{Step: handover.Build, Shard: s}, "dist/"+name)
	}
	audit := func(s handover.Shard, name string, of ...*handover.File) *handover.File {
		h := handover.Header{Step: handover.Audit, Shard: s}
		for _, f := range of {
			h.Inputs = append(h.Inputs, f.Digest())
		}
		h.Inputs = handover.SortDigests(h.Inputs)
		return handed(t, h, "dist/"+name)
	}
	a, b, other := build(one, "a"), build(two, "b"), build(two, "c")
	good := audit(two, "b", b)
	for _, tt := range []struct {
		name    string
		is      error
		want    string
		audited []*handover.File
	}{
		{"each", nil, "", []*handover.File{good, audit(one, "a", a)}},
		{"one is missing", release.ErrMissing, "the audit of shard 1/2: run release:audit -shard=1/2", []*handover.File{good}},
		{"one is there twice", release.ErrDouble, "the audit of shard 2/2", []*handover.File{good, audit(two, "b2", b), audit(one, "a", a)}},
		{"one is of another build", release.ErrForeign, "which is not here", []*handover.File{audit(two, "b", other), audit(one, "a", a)}},
		{"one is of another shard", release.ErrForeign, "which is not here", []*handover.File{audit(one, "b", b), audit(one, "a", a)}},
		{"one is of two", release.ErrForeign, "which is not here", []*handover.File{audit(two, "b", a, b), audit(one, "a", a)}},
		{"one is of nothing", release.ErrForeign, "which is not here", []*handover.File{audit(two, "b"), audit(one, "a", a)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (&step{}).paired([]*handover.File{a, b}, tt.audited)
			if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Of an audit its results are taken, all that there have to be, and nothing else.
func TestTakeResults(t *testing.T) {
	shard := handover.Shard{Number: 1, Of: 1}
	record := func(component string) artifact.Record {
		return artifact.Record{Name: component + ".tar.gz", Component: component}
	}
	parts := []release.Part{{Shard: shard, Manifest: artifact.Manifest{Artifacts: []artifact.Record{record("hello"), record("pushgateway")}}}}
	result := func(component string) string { return "dist/" + dist.TestResult(record(component)) }
	for _, tt := range []struct {
		name  string
		is    error
		want  string
		files []string
	}{
		{"that there are checks for", nil, "", []string{result("pushgateway")}},
		{"both", nil, "", []string{result("pushgateway"), result("hello")}},
		{"the one is missing", release.ErrMissing, "the audit of pushgateway.tar.gz", []string{result("hello")}},
		{"an archive too", release.ErrForeign, `"dist/pushgateway.tar.gz"`, []string{result("pushgateway"), "dist/pushgateway.tar.gz"}},
		{"another's", release.ErrForeign, "prometheus", []string{result("pushgateway"), result("prometheus")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := handed(t, handover.Header{Step: handover.Audit, Shard: shard}, tt.files...)
			work := folderWith(t, result("hello")) // of another audit
			err := (&step{}).takeResults(t.Context(), work, f, parts)
			if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			names, walked := fs.Glob(work.FS(), "dist/*")
			if err == nil && (walked != nil || len(names) != len(tt.files)) {
				t.Errorf("it left %q, %v", names, walked)
			}
		})
	}
}

// A folder of work in which another plan was made begins anew; and any does on a
// machine that is told digests, whatever it says of itself.
func TestStepWork(t *testing.T) {
	cfg := &config.Config{Release: t.TempDir()}
	enter := func(plan string, told handover.Digests) []string {
		t.Helper()
		s := &step{name: handover.Build, shard: handover.Shard{Number: 1, Of: 2}, config: cfg, digest: artifact.DigestBytes([]byte(plan)), digests: told}
		work, leave, err := s.work(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		if work.Name() != filepath.Join(cfg.Release, "work", "build-1-of-2") {
			t.Errorf("it works in %s", work.Name())
		}
		names, err := fs.Glob(work.FS(), "*")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(work.MkdirAll("dist", 0o755), work.WriteFile("dist/"+plan, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		return names
	}
	told := handover.Digests{handover.PlanKey: artifact.DigestBytes(nil)}
	for _, tt := range []struct {
		plan string
		told handover.Digests
		want int // .plan, and dist of a former run
	}{{"a", nil, 1}, {"a", nil, 2}, {"b", nil, 1}, {"a", nil, 1}, {"a", nil, 2}, {"a", told, 1}, {"a", told, 1}, {"a", nil, 2}} {
		if got := enter(tt.plan, tt.told); len(got) != tt.want {
			t.Errorf("%s, told %v: it found %q", tt.plan, tt.told, got)
		}
	}
}

// Binaries come out of their archive as a build would have put them.
func TestLooseBinaries(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(program, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	members, err := archive.TarGz(&buf, time.Unix(0, 0), []archive.Member{{Name: "hello-1/hello", Mode: 0o755, Content: program}})
	if err != nil {
		t.Fatal(err)
	}
	r := artifact.Record{
		Name: "hello-1.tar.gz", Size: int64(buf.Len()), Digest: artifact.DigestBytes(buf.Bytes()), Component: "hello", Variant: "hardened",
		Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Members: members,
		Binaries: []artifact.Binary{{Name: "hello", Digest: members[0].Digest}},
	}
	if err := os.WriteFile(filepath.Join(dir, r.Name), buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := looseBinaries(t.Context(), dir, r); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "bin/linux-amd64/hardened/hello")
	data, err := os.ReadFile(name)
	info, err2 := os.Stat(name)
	if err != nil || err2 != nil || string(data) != "a program" || info.Mode().Perm() != 0o755 {
		t.Errorf("%q, %v, %v %v", data, info, err, err2)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	for why, change := range map[string]func(r *artifact.Record){
		"another digest":        func(r *artifact.Record) { r.Digest = artifact.DigestBytes(nil) },
		"another binary":        func(r *artifact.Record) { r.Binaries[0].Digest = artifact.DigestBytes(nil) },
		"a binary of elsewhere": func(r *artifact.Record) { r.Binaries[0].Name = "../hello" },
	} {
		other := r
		other.Binaries = []artifact.Binary{r.Binaries[0]}
		change(&other)
		if err := looseBinaries(t.Context(), dir, other); err == nil || !strings.Contains(err.Error(), "taking the binaries out of hello-1.tar.gz") {
			t.Errorf("%s: %v", why, err)
		}
	}
}
