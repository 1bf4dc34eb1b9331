package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary runs itself as another process that uses the store -in, to
// do what -child says.
var (
	child = flag.String("child", "", "for the tests' own use")
	in    = flag.String("in", "", "for the tests' own use")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *child == "" {
		os.Exit(m.Run())
	}
	if err := children[*child](*in); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

const big = 1 << 20

var children = map[string]func(dir string) error{
	// make takes its time to make one key, and counts in the file "runs".
	"make": func(dir string) error {
		s, err := Open(dir)
		if err != nil {
			return err
		}
		s.Waiting = func(name string) { fmt.Println("waiting") }
		_, _, cached, err := Do(context.Background(), s, NewKey("step"), func(ctx context.Context, out string) (made, error) {
			fmt.Println("making")
			if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
				return made{}, err
			}
			return produce(ctx, out)
		})
		fmt.Println("cached", cached)
		return err
	},
	// hang stops in the middle of making the key.
	"hang": func(dir string) error {
		s, err := Open(dir)
		if err != nil {
			return err
		}
		_, _, _, err = Do(context.Background(), s, NewKey("step"), func(ctx context.Context, out string) (made, error) {
			value, err := produce(ctx, out)
			fmt.Println("making")
			io.Copy(io.Discard, os.Stdin)
			return value, err
		})
		return err
	},
	// copy stops in the middle of writing a file for its user.
	"copy": func(dir string) error {
		return WriteFile(filepath.Join(dir, "dst"), 0o644, func(w io.Writer) error {
			_, err := io.WriteString(w, "half")
			fmt.Println("making")
			io.Copy(io.Discard, os.Stdin)
			return err
		})
	},
	// limited may write no file of 64 KiB: a disk that fails where it must not.
	"limited": func(dir string) error {
		signal.Ignore(syscall.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
			return err
		}
		return tryBig(dir, unix.EFBIG)
	},
	// full has a disk of its own that is too small.
	"full": func(dir string) error { return errors.New("needs Linux") },
}

// tryBig meets want wherever the store writes, and then does what fits.
func tryBig(dir string, want error) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	check := func(what string, err error) error {
		if !errors.Is(err, want) {
			return fmt.Errorf("%s: got %w, want %w", what, err, want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(left) != 0 {
			return fmt.Errorf("%s left behind %v", what, left)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) != 0 {
			return fmt.Errorf("%s left behind %v", what, left)
		}
		fmt.Println(what, err)
		return nil
	}
	_, _, _, err = Do(context.Background(), s, NewKey("file"), func(_ context.Context, out string) (int, error) {
		return 0, os.WriteFile(filepath.Join(out, "f"), make([]byte, big), 0o644)
	})
	if err := check("file", err); err != nil {
		return err
	}
	_, _, _, err = Do(context.Background(), s, NewKey("record"), func(context.Context, string) (string, error) {
		return strings.Repeat("x", big), nil
	})
	if err := check("record", err); err != nil {
		return err
	}
	dst := filepath.Join(dir, "dst")
	err = WriteFile(dst, 0o644, func(w io.Writer) error {
		_, err := w.Write(make([]byte, big))
		return err
	})
	if err := check("copy", err); err != nil {
		return err
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".dst*")); len(left) != 0 {
		return fmt.Errorf("copy left behind %v", left)
	}
	if _, err := os.Lstat(dst); err == nil {
		return errors.New("copy left half a file")
	}
	_, entry, _, err := Do(context.Background(), s, NewKey("fits"), produce)
	if err != nil {
		return err
	}
	return entry.Verify(context.Background())
}

// process is a child that runs.
type process struct {
	*exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

func start(t *testing.T, what, dir string) process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-child="+what, "-in="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return process{cmd, stdin, bufio.NewReader(stdout)}
}

func (p process) says(t *testing.T, want string) {
	t.Helper()
	if got, err := p.lines.ReadString('\n'); got != want+"\n" {
		t.Fatalf("a process says %q, %v; want %q", got, err, want)
	}
}

func TestProcessesMakeOnce(t *testing.T) {
	dir := t.TempDir()
	first := start(t, "make", dir)
	first.says(t, "making")
	second := start(t, "make", dir) // its sweep must not take what first is making
	second.says(t, "waiting")
	io.WriteString(first.stdin, "go on\n")
	first.says(t, "cached false")
	second.says(t, "cached true")
	_, entry, ok, err := Peek[made](open(t, dir), NewKey("step"))
	if err != nil || !ok {
		t.Fatalf("got %v, %v", ok, err)
	}
	if err := entry.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKilledMaker(t *testing.T) {
	dir := t.TempDir()
	maker := start(t, "hang", dir)
	maker.says(t, "making")
	s := open(t, dir)
	if busy, _ := filepath.Glob(filepath.Join(dir, "tmp", "*", "files", "a.txt")); len(busy) != 1 {
		t.Fatalf("opening the store swept a living process's work: %v", busy)
	}
	waiter := start(t, "make", dir)
	waiter.says(t, "waiting")
	if err := maker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	waiter.says(t, "making")
	if _, _, ok, err := Peek[made](s, NewKey("step")); ok || err != nil {
		t.Errorf("a killed maker left %v, %v", ok, err)
	}
	io.WriteString(waiter.stdin, "go on\n")
	waiter.says(t, "cached false")
	if err := waiter.Wait(); err != nil {
		t.Error(err)
	}
	open(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	dst := filepath.Join(dir, "dst")
	if err := os.WriteFile(dst, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	writer := start(t, "copy", dir)
	writer.says(t, "making")
	write := func() {
		err := WriteFile(dst, 0o644, func(w io.Writer) error {
			_, err := io.WriteString(w, "new")
			return err
		})
		if got, _ := os.ReadFile(dst); err != nil || string(got) != "new" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	write()
	if all, _ := os.ReadDir(dir); len(all) != 2 {
		t.Errorf("a living writer's file was taken for a leftover: %v", all)
	}
	writer.Process.Kill()
	writer.Wait()
	write()
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("left behind: %v", all)
	}
}

func TestFailingDisk(t *testing.T) {
	p := start(t, "limited", t.TempDir())
	out, _ := io.ReadAll(p.lines)
	if err := p.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, bytes.TrimSpace(out))
	}
}
