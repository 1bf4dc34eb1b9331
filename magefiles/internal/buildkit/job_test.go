package buildkit

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

var linux = artifact.Platform{OS: "linux", Arch: "amd64"}

// a spec as the compiler's is.
func compilation(t *testing.T) sandbox.Spec {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go/bin/go": "#!", "rope/rope.go": "package rope", "view/list": "v1.0.0"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "go/bin/go"), 0o700); err != nil {
		t.Fatal(err)
	}
	return sandbox.Spec{
		Mounts: []sandbox.Mount{
			{Source: filepath.Join(dir, "go"), Target: "/go", Content: "h1:go"},
			{Source: filepath.Join(dir, "rope"), Target: "/modcache/rope@v1.0.0", Content: "h1:rope"},
			{Source: filepath.Join(dir, "view"), Target: "/modcache/cache/download"},
			{Source: t.TempDir(), Target: "/gocache", Writable: true},
			{Source: t.TempDir(), Target: "/out", Writable: true, Leaves: []string{"b", "a"}},
		},
		Files: map[string]string{"/recipe/go.mod": "module {root}/x"},
		Dir:   "{root}/recipe",
		Args:  []string{"{root}/go/bin/go", "build", "-o", "{root}/out/"},
		Env:   []string{"GOPROXY=off", "PATH=", "HOME={root}/nonexistent"},
	}
}

// operations are those of a definition: the command, and the rest.
func operations(t *testing.T, j *job) (command *pb.ExecOp, rest []*pb.Op) {
	t.Helper()
	for _, data := range j.definition.Def {
		var op pb.Op
		if err := op.UnmarshalVT(data); err != nil {
			t.Fatal(err)
		}
		if e := op.GetExec(); e != nil {
			if command != nil {
				t.Fatal("two commands")
			}
			command = e
		} else {
			rest = append(rest, &op)
		}
	}
	if command == nil {
		t.Fatal("no command")
	}
	return command, rest
}

// What a worker is asked for gives the command no more than the sandbox does.
func TestDefinition(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example")
	t.Setenv("PALISADE_CANARY", "seen")
	spec := compilation(t)
	j, err := newJob(spec, linux)
	if err != nil {
		t.Fatal(err)
	}
	e, rest := operations(t, j)
	if e.Network != pb.NetMode_NONE || e.Security != pb.SecurityMode_SANDBOX || len(e.Secretenv) != 0 || len(e.CdiDevices) != 0 {
		t.Errorf("the command has network %s, security %s, %d secrets, %d devices", e.Network, e.Security, len(e.Secretenv), len(e.CdiDevices))
	}
	m := e.Meta
	if want := []string{"GOPROXY=off", "HOME=/nonexistent", "PATH="}; !slices.Equal(slices.Sorted(slices.Values(m.Env)), want) {
		t.Errorf("its environment is %q, want %q", m.Env, want)
	}
	if m.ProxyEnv != nil || len(m.ExtraHosts) != 0 || m.CgroupParent != "" {
		t.Errorf("it has more of the worker's: %+v", m)
	}
	if !slices.Equal(m.Args, []string{"/go/bin/go", "build", "-o", "/out/"}) || m.Cwd != "/recipe" || m.User != "1000:1000" || m.Hostname != "palisade" {
		t.Errorf("it is run as %q in %s as %s on %s", m.Args, m.Cwd, m.User, m.Hostname)
	}
	type mount struct {
		kind             pb.MountType
		readonly, leaves bool
	}
	want := map[string]mount{
		"/":                        {pb.MountType_BIND, true, false},
		"/tmp":                     {pb.MountType_TMPFS, false, false},
		"/go":                      {pb.MountType_BIND, true, false},
		"/modcache/rope@v1.0.0":    {pb.MountType_BIND, true, false},
		"/modcache/cache/download": {pb.MountType_BIND, true, false},
		"/gocache":                 {pb.MountType_BIND, false, false},
		"/out":                     {pb.MountType_BIND, false, true},
	}
	got := map[string]mount{}
	for _, m := range e.Mounts {
		got[m.Dest] = mount{m.MountType, m.Readonly, m.Output != int64(pb.SkipOutput) && !m.Readonly}
		if m.TmpfsOpt != nil && m.TmpfsOpt.Size != tmpSize {
			t.Errorf("%s may take %d bytes", m.Dest, m.TmpfsOpt.Size)
		}
	}
	delete(got, "") // none
	if tmp := got["/tmp"]; tmp.leaves {
		tmp.leaves = false
		got["/tmp"] = tmp // output -1 or none, nobody asks for it
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it sees %+v, want %+v", got, want)
	}
	var sources []string
	for _, op := range rest {
		if s := op.GetSource(); s != nil {
			sources = append(sources, s.Attrs[pb.AttrSharedKeyHint])
			if !strings.HasPrefix(s.Identifier, "local://input-") || j.inputs[strings.TrimPrefix(s.Identifier, "local://")] == nil {
				t.Errorf("it takes %s", s.Identifier)
			}
		}
	}
	slices.Sort(sources)
	if len(sources) != 3 || !slices.Contains(sources, "h1:go") || !slices.Contains(sources, "h1:rope") {
		t.Errorf("its inputs are %q", sources)
	}
	ignores := 0
	for _, meta := range j.definition.Metadata {
		if meta.IgnoreCache {
			ignores++
		}
	}
	if ignores != 1 {
		t.Errorf("%d operations take no remembered result, want the command alone", ignores)
	}
	if !slices.Equal(j.leaves, []string{"a", "b"}) || j.out != spec.Mounts[4].Source {
		t.Errorf("%q come back to %s", j.leaves, j.out)
	}
}

// The same content is the same input wherever it lies, whenever it was written.
func TestSameInput(t *testing.T) {
	a, err := newJob(compilation(t), linux)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newJob(compilation(t), linux)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.definition.Def, b.definition.Def) {
		t.Error("two definitions of the same command differ")
	}
	for name, files := range a.inputs {
		err := files.Walk(context.Background(), "", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			want := fs.FileMode(0o644)
			if d.IsDir() || filepath.Base(name) == "go" {
				want = 0o755
			}
			if info.Mode().Perm() != want || info.ModTime().UnixNano() != 0 {
				t.Errorf("%s is sent with mode %v and time %v", name, info.Mode(), info.ModTime())
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewJobRefuses(t *testing.T) {
	link := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(link, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(link, "passwd")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*sandbox.Spec)
		want   string
	}{
		{"no command", func(s *sandbox.Spec) { s.Args = nil }, "not an absolute path"},
		{"a relative command", func(s *sandbox.Spec) { s.Args = []string{"go"} }, "not an absolute path"},
		{"serving", func(s *sandbox.Spec) { s.Serve = "/srv" }, "only the sandbox of this machine"},
		{"proc", func(s *sandbox.Spec) { s.Proc = true }, "only the sandbox of this machine"},
		{"private", func(s *sandbox.Spec) { s.Private = true }, "only the sandbox of this machine"},
		{"denied", func(s *sandbox.Spec) { s.Deny = true }, "only the sandbox of this machine"},
		{"nothing comes back", func(s *sandbox.Spec) { s.Mounts = s.Mounts[:4] }, "no files are to come back"},
		{"two come back", func(s *sandbox.Spec) { s.Mounts[3].Leaves = []string{"x"} }, "files come back from /gocache and from /out"},
		{"a file as a mount", func(s *sandbox.Spec) { s.Mounts[0].Source += "/bin/go" }, "not the absolute path of a directory"},
		{"a mount that is not there", func(s *sandbox.Spec) { s.Mounts[0].Source += "/none" }, "no such file"},
		{"an unclean file", func(s *sandbox.Spec) { s.Files = map[string]string{"/a/../b": ""} }, "not a clean absolute path"},
		{"no variable", func(s *sandbox.Spec) { s.Env = []string{"GOPROXY"} }, "is no variable"},
	} {
		spec := compilation(t)
		tt.change(&spec)
		if _, err := newJob(spec, linux); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	files, err := directory(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.Walk(context.Background(), "", func(_ string, _ fs.DirEntry, err error) error { return err }); err == nil || !strings.Contains(err.Error(), "neither a regular file") {
		t.Errorf("a symbolic link: got %v", err)
	}
}
