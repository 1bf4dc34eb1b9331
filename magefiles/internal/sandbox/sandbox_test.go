package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// probeDir holds the program of testdata/probe, linked statically: the empty
// root has no loader.
var probeDir string

// asParent makes the test program run the Spec in its value instead of the
// tests: a process that a test can kill, or give things to inherit.
const asParent = "PALISADE_TEST_SPEC"

// asHost makes it give its machine a name and a domain first.
const asHost = "PALISADE_TEST_HOST"

func TestMain(m *testing.M) {
	if spec := os.Getenv(asParent); spec != "" {
		parent(spec)
	}
	dir, err := os.MkdirTemp("", "palisade-probe-")
	if err != nil {
		panic(err)
	}
	probeDir = dir
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "probe"), "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		println("building the probe:", err.Error())
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func parent(data string) {
	var spec Spec
	if err := json.Unmarshal([]byte(data), &spec); err != nil {
		panic(err)
	}
	if name := os.Getenv(asHost); name != "" {
		setHost(name)
	}
	spec.Stdout, spec.Stderr = os.Stdout, os.Stderr
	if _, err := Run(context.Background(), spec); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// probe is a Spec that runs the probe with args.
func probe(args ...string) Spec {
	return Spec{
		Mounts: []Mount{{Source: probeDir, Target: "/probe"}},
		Args:   append([]string{"{root}/probe/probe"}, args...),
	}
}

// output runs spec and gives what the probe printed, and how it ended.
func output(t *testing.T, spec Spec) (string, Result, error) {
	t.Helper()
	var out, stderr bytes.Buffer
	spec.Stdout, spec.Stderr = &out, &stderr
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for a command that hangs
	defer cancel()
	res, err := Run(ctx, spec)
	if stderr.Len() > 0 {
		t.Logf("stderr: %s", stderr.String())
	}
	return strings.TrimSpace(out.String()), res, err
}

// tree is what a directory holds: names and contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	held := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			held[name] = "/"
			return err
		}
		data, err := os.ReadFile(name)
		held[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// write makes files below a new directory: names and contents.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// either runs a test with namespaces, where there are any, and without.
func either(t *testing.T, test func(t *testing.T, deny bool)) {
	t.Run("confined", func(t *testing.T) { confinable(t); test(t, false) })
	t.Run("unconfined", func(t *testing.T) { test(t, true) })
}

func confinable(t *testing.T) {
	t.Helper()
	err := Available()
	if err == nil {
		return
	}
	if hostConfines() {
		t.Fatal("the host has namespaces, but: ", err)
	}
	t.Skip("no namespaces here: ", err)
}

func TestRun(t *testing.T) {
	either(t, func(t *testing.T, deny bool) {
		t.Setenv("PALISADE_CANARY", "seen")
		src := write(t, map[string]string{"a/b": "inner", "a/c": "c", "a/sub/d": "d", "top": "top"})
		over := write(t, map[string]string{"b": "over"})
		before := tree(t, src)
		mounts := []Mount{
			{Source: filepath.Join(over, "b"), Target: "/src/a/b"}, // inner before outer: order is Run's business
			{Source: src, Target: "/src"},
			{Source: filepath.Join(src, "top"), Target: "/one/file"},
		}
		for _, test := range []struct {
			name string
			args []string
			dir  string
			env  []string
			want string
		}{
			{name: "nested mount", args: []string{"read", "{root}/src/a/b", "{root}/src/a/c", "{root}/src/a/sub/d", "{root}/src/top"}, want: "over\nc\nd\ntop"},
			{name: "nested listing", args: []string{"list", "{root}/src/a"}, want: "b\nc\nsub"},
			{name: "file mount", args: []string{"read", "{root}/one/file"}, want: "top"},
			{name: "made file", args: []string{"read", "{root}/etc/made"}, want: "root is <{root}>"},
			{name: "working directory", args: []string{"read", "a/c"}, dir: "{root}/src", want: "c"},
			{name: "default directory", args: []string{"read", "src/a/c"}, want: "c"},
			{name: "environment", args: []string{"env"}, env: []string{"B={root}/x", "A=1"}, want: "B={root}/x\nA=1"},
			{name: "no environment", args: []string{"env"}, want: ""},
		} {
			t.Run(test.name, func(t *testing.T) {
				spec := probe(test.args...)
				spec.Mounts = append(spec.Mounts, mounts...)
				spec.Files = map[string]string{"/etc/made": "root is <{root}>"}
				spec.Dir, spec.Env, spec.Deny, spec.Temp = test.dir, test.env, deny, t.TempDir()
				got, _, err := output(t, spec)
				if err != nil {
					t.Fatal(err, got)
				}
				want := strings.ReplaceAll(test.want, "{root}", "")
				if i := strings.Index(got, "/palisade-root-"); i >= 0 && deny {
					start := strings.LastIndexAny(got[:i], "<=") + 1
					end := i + len("/palisade-root-") + strings.IndexFunc(got[i+len("/palisade-root-"):], func(r rune) bool { return r < '0' || r > '9' })
					if filepath.Dir(got[start:end]) != spec.Temp {
						t.Errorf("root %s is not in %s", got[start:end], spec.Temp)
					}
					got = got[:start] + got[end:]
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if left := tree(t, spec.Temp); len(left) != 1 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
		if after := tree(t, src); !maps.Equal(before, after) {
			t.Errorf("the source changed from %v to %v", before, after)
		}
	})
}

func TestReport(t *testing.T) {
	either(t, func(t *testing.T, deny bool) {
		spec := probe("burn")
		spec.Deny = deny
		_, res, err := output(t, spec)
		if err != nil {
			t.Fatal(err)
		}
		// The probe ends once it has used this much.
		if res.User.Milliseconds() < 50 || res.MaxRSS < 64<<20 {
			t.Errorf("user time %v, memory %d: less than the probe used", res.User, res.MaxRSS)
		}
		if deny {
			if r := res.Report; r.Hermetic || r.Reason == "" || len(r.Namespaces) > 0 {
				t.Errorf("report %+v", r)
			}
			return
		}
		want := []string{"ipc", "mnt", "net", "pid", "user", "uts"}
		if _, err := os.Stat("/proc/self/ns/cgroup"); err == nil {
			want = append([]string{"cgroup"}, want...)
		}
		if r := res.Report; !r.Hermetic || r.Reason != "" || !slices.Equal(r.Namespaces, want) {
			t.Errorf("report %+v, want namespaces %v", r, want)
		}
	})
}

func TestExit(t *testing.T) {
	either(t, func(t *testing.T, deny bool) {
		for _, test := range []struct {
			args []string
			want ExitError
		}{
			{[]string{"exit", "1"}, ExitError{Code: 1}},
			{[]string{"exit", "42"}, ExitError{Code: 42}},
			{[]string{"kill"}, ExitError{Code: 137, Signal: "killed"}},
		} {
			spec := probe(test.args...)
			spec.Deny = deny
			_, res, err := output(t, spec)
			var exit *ExitError
			if !errors.As(err, &exit) || *exit != test.want {
				t.Errorf("%v: error %v, want %+v", test.args, err, test.want)
			}
			if res.Report.Hermetic == deny {
				t.Errorf("%v: report %+v of a command that ran", test.args, res.Report)
			}
		}
	})
}

func TestServe(t *testing.T) {
	either(t, func(t *testing.T, deny bool) {
		outside := write(t, map[string]string{"secret": "secret"})
		dir := write(t, map[string]string{"a": "content", "@scope/name": "scoped"})
		if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ method, path, want string }{
			{"GET", "/a", "200 application/octet-stream content"},
			{"HEAD", "/a", "200 application/octet-stream"},
			{"GET", "/@scope%2fname", "200 application/octet-stream scoped"},
			{"GET", "/@scope/name", "200 application/octet-stream scoped"},
			{"GET", "/@scope", "404 text/plain; charset=utf-8 no such file"},
			{"GET", "/", "404 text/plain; charset=utf-8 no such file"},
			{"GET", "/none", "404 text/plain; charset=utf-8 no such file"},
			{"GET", "/link", "404 text/plain; charset=utf-8 no such file"},
			{"GET", "/%2e%2e/" + filepath.Base(outside) + "/secret", "404 text/plain; charset=utf-8 no such file"},
			{"POST", "/a", "405 text/plain; charset=utf-8 read-only"},
			{"PUT", "/b", "405 text/plain; charset=utf-8 read-only"},
			{"DELETE", "/a", "405 text/plain; charset=utf-8 read-only"},
		} {
			spec := probe("get", test.method, "{serve}"+test.path)
			spec.Serve, spec.Deny = dir, deny
			if got, _, err := output(t, spec); err != nil || got != test.want {
				t.Errorf("%s %s: got %q, %v, want %q", test.method, test.path, got, err, test.want)
			}
		}
	})
}

func TestUnavailable(t *testing.T) {
	ran := t.TempDir()
	spec := probe("write", "{root}/out/ran")
	spec.Mounts = append(spec.Mounts, Mount{Source: ran, Target: "/out", Writable: true})
	spec.Deny, spec.Require = true, true
	if _, _, err := output(t, spec); !errors.Is(err, ErrUnavailable) || !errors.Is(err, errDenied) {
		t.Errorf("error %v, want ErrUnavailable with its reason", err)
	}
	if held := tree(t, ran); len(held) != 1 {
		t.Errorf("the command ran: %v", held)
	}
	spec.Require = false
	if _, res, err := output(t, spec); err != nil || res.Report.Reason != errDenied.Error() {
		t.Errorf("report %+v, %v, want the reason", res.Report, err)
	}
}

func TestRefused(t *testing.T) {
	src := write(t, map[string]string{"dir/file": "x"})
	if err := os.Symlink("dir", filepath.Join(src, "link")); err != nil {
		t.Fatal(err)
	}
	file, none := filepath.Join(src, "dir/file"), filepath.Join(src, "none")
	before := tree(t, filepath.Join(src, "dir"))
	either(t, func(t *testing.T, deny bool) {
		for _, test := range []struct {
			name   string
			mounts []Mount
			files  map[string]string
			args   []string
			serve  string
			want   []string // all in the error
		}{
			{name: "missing source", mounts: []Mount{{Source: none, Target: "/a"}}, want: []string{none, "/a", "no such file"}},
			{name: "relative source", mounts: []Mount{{Source: "sandbox.go", Target: "/a"}}, want: []string{"sandbox.go", "absolute"}},
			{name: "device", mounts: []Mount{{Source: "/dev/null", Target: "/a"}}, want: []string{"/dev/null", "neither"}},
			{name: "root", mounts: []Mount{{Source: src, Target: "/"}}, want: []string{"clean absolute path"}},
			{name: "relative target", mounts: []Mount{{Source: src, Target: "a"}}, want: []string{"clean absolute path"}},
			{name: "unclean target", mounts: []Mount{{Source: src, Target: "/a/../b"}}, want: []string{"clean absolute path"}},
			{name: "reserved target", mounts: []Mount{{Source: file, Target: "/dev/null"}}, want: []string{"/dev"}},
			{name: "proc", mounts: []Mount{{Source: src, Target: "/proc"}}, want: []string{"/proc"}},
			{name: "twice", mounts: []Mount{{Source: src, Target: "/a"}, {Source: file, Target: "/a"}}, want: []string{src, file, "/a"}},
			{name: "missing in mount", mounts: []Mount{{Source: src, Target: "/a"}, {Source: file, Target: "/a/dir/new"}},
				want: []string{"/a/dir/new", "does not exist in the mount at /a"}},
			{name: "missing in writable mount", mounts: []Mount{{Source: src, Target: "/a", Writable: true}, {Source: file, Target: "/a/dir/new"}},
				want: []string{"/a/dir/new", "does not exist in the mount at /a"}},
			{name: "through a link", mounts: []Mount{{Source: src, Target: "/a"}, {Source: file, Target: "/a/link/file"}}, want: []string{"symbolic link"}},
			{name: "directory on file", mounts: []Mount{{Source: src, Target: "/a"}, {Source: src, Target: "/a/dir/file"}}, want: []string{"not a directory"}},
			{name: "file on directory", mounts: []Mount{{Source: src, Target: "/a"}, {Source: file, Target: "/a/dir"}}, want: []string{"not a regular file"}},
			{name: "file in mount", mounts: []Mount{{Source: src, Target: "/a"}}, files: map[string]string{"/a/dir/new": ""}, want: []string{"/a/dir/new", "mount at /a"}},
			{name: "file in tmp", files: map[string]string{"/tmp/x": ""}, want: []string{"/tmp/x"}},
			{name: "file for device", files: map[string]string{"/dev/null": ""}, want: []string{"/dev/null"}},
			{name: "relative file", files: map[string]string{"x": ""}, want: []string{"clean absolute path"}},
			{name: "no command", args: []string{}, want: []string{"no command"}},
			{name: "relative command", args: []string{"probe"}, want: []string{"running probe", "absolute"}},
			{name: "missing command", args: []string{"{root}/none"}, want: []string{"/none", "no such file"}},
			{name: "serve a file", serve: file, want: []string{file}},
			{name: "serve nothing", serve: none, want: []string{none}},
		} {
			t.Run(test.name, func(t *testing.T) {
				spec := probe("exit", "0")
				spec.Mounts = append(spec.Mounts, test.mounts...)
				spec.Files, spec.Serve, spec.Deny = test.files, test.serve, deny
				if test.args != nil {
					spec.Args = test.args
				}
				_, _, err := output(t, spec)
				if err == nil {
					t.Fatal("no error")
				}
				for _, want := range test.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not say %q", err, want)
					}
				}
				if errors.As(err, new(*ExitError)) || errors.Is(err, ErrUnavailable) {
					t.Errorf("error %v of the wrong kind", err)
				}
			})
		}
	})
	if after := tree(t, filepath.Join(src, "dir")); !maps.Equal(before, after) {
		t.Errorf("the source changed from %v to %v", before, after)
	}
}

func TestUnconfinedWritableOuter(t *testing.T) {
	src := write(t, map[string]string{"file": ""})
	spec := probe("exit", "0")
	spec.Mounts = append(spec.Mounts, Mount{Source: src, Target: "/a", Writable: true},
		Mount{Source: filepath.Join(src, "file"), Target: "/a/file"})
	spec.Deny = true
	if _, _, err := output(t, spec); err == nil || !strings.Contains(err.Error(), "writable mount cannot hold another") {
		t.Errorf("error %v: files written to /a would have been lost", err)
	}
}

// firstLine waits for a line of the probe's output and gives it.
func firstLine(t *testing.T, r io.Reader) string {
	t.Helper()
	line := make([]byte, 64)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal("waiting for the probe: ", err)
	}
	go io.Copy(io.Discard, r)
	return strings.TrimSpace(string(line[:n]))
}
