package publish

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"palisade/attestations/releases"
)

var small = flag.String("small", "", "a `folder` to mount a small disk on, in a child of TestDirectoryFull")

// A full disk is real here: a small one, mounted in namespaces of its own. Nothing
// half-made is left there, and what was there stays.
func TestDirectoryFull(t *testing.T) {
	if *small != "" {
		fills(t, *small)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDirectoryFull$", "-test.v", "-small="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed || strings.Contains(string(out), "no small disk") {
		t.Skipf("no namespaces, no small disk: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
}

func fills(t *testing.T, dir string) {
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=512k"); err != nil {
		fmt.Println("no small disk", err)
		return
	}
	ctx := context.Background()
	r := newFiles(t, "binary")
	r.write(t, "RELEASE_NOTES.md", []byte(strings.Repeat("news\n", 100_000)))
	opened := openRelease(t, r)
	one := newIndex(t, nil, listed("1.0.0"), true)
	if _, err := one.ToDirectory(ctx, dir); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if _, err := opened.ToDirectory(ctx, dir, version, nil); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want %v", err, unix.ENOSPC)
	}
	same(t, contents(t, dir), before)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
	// Not even an index fits.
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	two := newIndex(t, one, listed("1.1.0"), false)
	if _, err := two.ToDirectory(ctx, dir); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v, want %v", err, unix.ENOSPC)
	}
	if data, err := os.ReadFile(filepath.Join(dir, releases.FileName)); err != nil || string(data) != string(one.data) {
		t.Errorf("the index is %s, %v", data, err)
	}
	if err := os.Remove(filepath.Join(dir, "full")); err != nil {
		t.Fatal(err)
	}
	if _, err := two.ToDirectory(ctx, dir); err != nil {
		t.Error(err)
	}
	r.write(t, "RELEASE_NOTES.md", []byte("# Notes\n"))
	if there, err := openRelease(t, r).ToDirectory(ctx, dir, version, nil); there || err != nil {
		t.Errorf("with room: %t, %v", there, err)
	}
}
