package diffoscope

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"palisade/magefiles/internal/sandbox"
)

// confined ends a test of a machine that has no sandbox: there diffoscope is never
// run, which TestUnconfined is about.
func confined(t *testing.T) {
	t.Helper()
	if err := sandbox.Available(); err != nil {
		t.Fatalf("this machine has no sandbox, so diffoscope is not run here and cannot be tested: %v", err)
	}
}

// stub is a program that a shell script stands for.
func stub(t *testing.T, script string) Tool {
	t.Helper()
	confined(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "program", "diffoscope")
	write(t, name, "#!/bin/sh\n"+script, 0o755)
	return Tool{Program: name, Path: "/usr/bin:/bin", Temp: dir}
}

func write(t *testing.T, name, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// two files that differ.
func two(t *testing.T) (a, b string) {
	t.Helper()
	dir := t.TempDir()
	a, b = filepath.Join(dir, "a", "words"), filepath.Join(dir, "b", "words")
	write(t, a, "the same\none\n", 0o644)
	write(t, b, "the same\ntwo\n", 0o644)
	return a, b
}

func left(t *testing.T, tool Tool) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(tool.Temp, "diffoscope*")); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// planted does for two texts what diffoscope does, and takes what that takes.
const planted = `
test "$1 $2 $4 $5 $#" = "--no-progress --text-color=never --text=- -- 7" || { echo "usage: $*" >&2; exit 2; }
case $3 in --max-text-report-size=[1-9]*) ;; *) exit 2 ;; esac
test -r "$6" && test -r "$7" || exit 2
cmp -s "$6" "$7" && exit 0
echo "--- $6"; echo "+++ $7"
sed s/^/-/ "$6"; sed s/^/+/ "$7"
exit 1
`

// The real one, where it is installed, or else the planted one, tells two files
// apart by what is in them.
func TestFiles(t *testing.T) {
	tool := stub(t, planted)
	if name, err := exec.LookPath("diffoscope"); err == nil {
		tool.Program = name
	}
	t.Log("asking", tool.Program)
	a, b := two(t)
	got, err := tool.Compare(t.Context(), a, b)
	if err != nil || got.Note != "" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, want := range []string{"--- /first/words\n", "+++ /second/words\n", "\n-one\n", "\n+two\n"} {
		if !strings.Contains(got.Text, want) {
			t.Errorf("no %q in:\n%s", want, got.Text)
		}
	}
	if got, err := tool.Compare(t.Context(), a, a); err != nil || got != (Report{Note: "diffoscope sees no difference"}) {
		t.Errorf("one file: %+v, %v", got, err)
	}
	left(t, tool)
}

func TestCompare(t *testing.T) {
	t.Setenv("PALISADE_SECRET", "x")
	for _, tt := range []struct{ name, script, text, note string }{
		{"different", "echo \"- $6\"; echo \"+ $7\"; exit 1", "- /first/words\n+ /second/words\n", ""},
		{"equal", "exit 0", "", "diffoscope sees no difference"},
		{"failed", "echo 'no such\nfile' >&2; exit 2", "", "diffoscope failed: exit status 2: no such file"},
		{"failed, by a status that says otherwise", "echo Traceback >&2; exit 1", "", "diffoscope failed: exit status 1: Traceback"},
		{"failed at length", "while :; do echo 0123456789; done | head -c 100000 >&2; exit 2", "", "diffoscope failed: exit status 2: " + strings.Repeat("0123456789 ", 372) + "0123"},
		{"says too much", "while :; do echo 0123456789012345678901234567890123456789; done", "0123456789012345678901234567890123456789\n0123456789012345678", "diffoscope has more to say: these are its first 60 bytes"},
		{"moves the cursor", `printf 'a\033[2J\tb\377\n'; exit 1`, "a�[2J b�\n", ""},
		{"its variables", "env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e _ | sort | tr '\\n' ' '; exit 1", "HOME PATH TMPDIR ", ""},
		{"its place", `test "$HOME" = "$TMPDIR" && test "$(pwd -P)" = "$HOME" && echo x >x && cat x; exit 1`, "x\n", ""},
		{"the files are not its own", `for f in "$6" "$7"; do { echo x >>"$f"; } 2>/dev/null || echo no; rm -f "$f" 2>/dev/null || echo no; done; exit 1`, "no\nno\nno\nno\n", ""},
		{"nor is anything else", `ls -d /root /home /etc/passwd 2>/dev/null; { echo x >/usr/x; } 2>/dev/null || echo no; exit 1`, "no\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tool := stub(t, tt.script)
			a, b := two(t)
			got, err := tool.compare(t.Context(), a, b, time.Minute, 60)
			if err != nil || got.Text != tt.text || got.Note != tt.note {
				t.Errorf("%+v, %v, want %q and %q", got, err, tt.text, tt.note)
			}
			if data, err := os.ReadFile(a); err != nil || string(data) != "the same\none\n" {
				t.Errorf("the first file: %q, %v", data, err)
			}
			left(t, tool)
		})
	}
}

// What anybody reaches from outside it does not from inside.
func TestNetwork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	script := fmt.Sprintf("bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d' 2>/dev/null && echo reached; echo tried; exit 1", listener.Addr().(*net.TCPAddr).Port)
	if out, _ := exec.Command("/bin/sh", "-c", script).Output(); string(out) != "reached\ntried\n" {
		t.Fatalf("outside: %q", out)
	}
	a, b := two(t)
	if got, err := stub(t, script).Compare(t.Context(), a, b); err != nil || got != (Report{Text: "tried\n"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAbsent(t *testing.T) {
	got, err := Tool{}.Compare(t.Context(), "a", "b")
	if err != nil || got.Text != "" || !strings.HasPrefix(got.Note, "diffoscope is not installed") {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever keeps it from being run is said, and is no error: what differs does so
// without it.
func TestNotRun(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	good := stub(t, fmt.Sprintf("echo x >%s; echo x; exit 1", ran))
	a, b := two(t)
	for _, tt := range []struct {
		name   string
		change func(*Tool)
		b      string
		why    string
	}{
		{"no sandbox", func(t *Tool) { t.deny = true }, b, "no namespaces to confine the command in"},
		{"no program", func(t *Tool) { t.Program += "x" }, b, "no such file"},
		{"no folder", func(t *Tool) { t.Temp = filepath.Join(t.Temp, "none") }, b, "no such file"},
		{"no file", func(*Tool) {}, b + "x", "no such file"},
		{"no program after all", func(t *Tool) { t.Program = a }, b, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tool := good
			tt.change(&tool)
			got, err := tool.Compare(t.Context(), a, tt.b)
			if err != nil || got.Text != "" || !strings.HasPrefix(got.Note, "diffoscope ") || !strings.Contains(got.Note, tt.why) || strings.Contains(got.Note, "\n") {
				t.Errorf("%+v, %v", got, err)
			}
			if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it ran: %v", err)
			}
			left(t, tool)
		})
	}
}

// It ends in time, and with it what it started.
func TestEnds(t *testing.T) {
	mark := strconv.Itoa(os.Getpid())
	tool := stub(t, "sleep 6"+mark+" & sleep 6"+mark+" & echo started; wait")
	a, b := two(t)
	got, err := tool.compare(t.Context(), a, b, 3*time.Second, 100)
	if err != nil || got.Note != "diffoscope was stopped after 3s" || got.Text != "started\n" {
		t.Fatalf("%+v, %v", got, err)
	}
	for range 100 {
		if !running(t, "sleep\x006"+mark+"\x00") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("what it started runs on")
}

// running reports whether there is a process of that command line.
func running(t *testing.T, line string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, name := range all {
		if data, err := os.ReadFile(name); err == nil && string(data) == line {
			return true
		}
	}
	return false
}

func TestCancelled(t *testing.T) {
	a, b := two(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := stub(t, "exit 0").Compare(ctx, a, b); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v, want what cancelled it", got, err)
	}
}
