//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/magefiles/internal/audit"
)

var inImage = flag.String("in-image", "", "TestImage gives this to itself: `file` that says what to do in an image's root")

// imaged are the components whose images are run, each with the checks that find
// nothing to look at there: a unit is in the archive.
var imaged = map[string][]string{
	"node_exporter": {"unit.exposure", "web.health-open"},
	"prometheus":    {"unit.exposure"},
}

// A visit is to an image's root, by a process of its own.
type visit struct {
	Root    string
	Config  ocilayout.Config
	Volumes map[string]fs.FileMode // what may be written to; nil for nothing
	Record  artifact.Record
}

// An image runs as an engine would run it that gives it nothing: as its user,
// from a root that is read-only, without capabilities or a way to get any, in a
// network and mounts of its own, with a writable /credentials and the volumes of its
// configuration. It answers as an audit demands, which takes place in there; and
// without volumes it says what to mount. This is image.nonroot of SECURITY.md.
func TestImage(t *testing.T) {
	if *inImage != "" {
		visitImage(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can be another user, as an engine is: run this as root")
	}
	r := openRelease(t)
	for name := range imaged {
		t.Run(name, func(t *testing.T) {
			_, rec := r.component(t, name)
			v := r.unpackImage(t, rec)
			t.Run("answers", func(t *testing.T) { v.enter(t) })
			v.Volumes = nil
			t.Run("without volumes", func(t *testing.T) { v.enter(t) })
		})
	}
}

// image returns the image that rec is in, and the path of its file.
func (r *release) image(t *testing.T, rec artifact.Record) (artifact.Image, string) {
	t.Helper()
	i := slices.IndexFunc(r.manifest.Images, func(i artifact.Image) bool {
		return i.Component == rec.Component && i.Variant == rec.Variant &&
			slices.ContainsFunc(i.Platforms, func(p artifact.PlatformImage) bool { return p.Artifact == rec.Name })
	})
	if i < 0 {
		t.Fatalf("%s holds no image of %s; make one, with: go tool mage image -component=%s", r.dir, rec.Name, rec.Component)
	}
	return r.manifest.Images[i], filepath.Join(r.dir, r.manifest.Images[i].Name)
}

// unpackImage puts the image of rec's component for this machine into a new
// directory, with modes and owners.
func (r *release) unpackImage(t *testing.T, rec artifact.Record) visit {
	t.Helper()
	entry, name := r.image(t, rec)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	contents := map[artifact.Digest]string{}
	blobs := t.TempDir()
	layout, err := ocilayout.Open(t.Context(), f, entry.Size, ocilayout.Visitor{
		Keep: func(ocilayout.Member) bool { return true },
		See: func(m ocilayout.Member, content []byte) error {
			contents[m.Digest] = filepath.Join(blobs, m.Digest.Hex())
			return os.WriteFile(contents[m.Digest], content, 0o600)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	image, ok := layout.Platform(r.host)
	if !ok {
		t.Fatalf("%s has no image for %s", f.Name(), r.host)
	}
	v := visit{Root: t.TempDir(), Config: image.Config, Record: rec, Volumes: map[string]fs.FileMode{"/tmp": 0o1777}}
	for _, layer := range image.Layers {
		for _, m := range layer.Members {
			name := filepath.Join(v.Root, filepath.FromSlash(m.Name))
			var err error
			if m.Folder {
				err = os.MkdirAll(name, 0o755)
			} else {
				err = errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), copyFile(contents[m.Digest], name))
			}
			if err := errors.Join(err, os.Chown(name, m.UID, m.GID), unix.Chmod(name, uint32(m.Mode))); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(image.Config.Volumes, "/"+m.Name) {
				v.Volumes["/"+m.Name] = fs.FileMode(m.Mode) // as an engine makes a volume
			}
		}
	}
	if err := os.Chmod(v.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"proc", "sys", "dev"} { // which an engine adds
		if err := os.Mkdir(filepath.Join(v.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// enter runs this test again, alone, as a visit.
func (v visit) enter(t *testing.T) {
	t.Helper()
	order := filepath.Join(t.TempDir(), "order")
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(order, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestImage$", "-test.v", "-test.timeout=5m", "-in-image="+order)
	cmd.SysProcAttr = dieWithParent()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
	var out []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread goes with what only it may not do
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err == nil {
			out, err = cmd.CombinedOutput()
		}
	}()
	<-done
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestImage")) {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
}

// visitImage makes this process one of the image's user, in its root, for good.
func visitImage(t *testing.T) {
	data, err := os.ReadFile(*inImage)
	if err != nil {
		t.Fatal(err)
	}
	var v visit
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	raiseLoopback(t)
	v.confine(t)
	if v.Volumes == nil {
		v.namesMounts(t)
		return
	}
	v.isConfined(t)
	password := v.serves(t)
	if again := v.serves(t); again != password {
		t.Error("the second start made another password: the volume is not used")
	}
	v.audited(t)
}

func (v visit) confine(t *testing.T) {
	t.Helper()
	uid, gid := 65532, 65532
	if v.Config.User != "65532:65532" {
		t.Fatalf("the image's user is %q", v.Config.User)
	}
	must := func(what string, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("making the mounts private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must("binding the root", unix.Mount(v.Root, v.Root, "", unix.MS_BIND, ""))
	must("making it read-only", unix.MountSetattr(unix.AT_FDCWD, v.Root, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}))
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		must("binding "+dir, unix.Mount(dir, v.Root+dir, "", unix.MS_BIND|unix.MS_REC, ""))
	}
	for dir, mode := range v.Volumes {
		must("mounting "+dir, unix.Mount("tmpfs", v.Root+dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""))
		must("giving away "+dir, errors.Join(os.Chown(v.Root+dir, uid, gid), unix.Chmod(v.Root+dir, uint32(mode))))
	}
	must("entering the root", unix.Chroot(v.Root))
	must("entering its working directory", os.Chdir(filepath.Join("/", v.Config.WorkingDir)))
	os.Clearenv()
	for _, variable := range v.Config.Env {
		name, value, _ := strings.Cut(variable, "=")
		must("setting "+name, os.Setenv(name, value))
	}
	// All threads of the process change, and none keeps a capability.
	must("becoming the user", errors.Join(syscall.Setgroups(nil), syscall.Setgid(gid), syscall.Setuid(uid)))
}

// isConfined sees to it that what follows shows something.
func (v visit) isConfined(t *testing.T) {
	t.Helper()
	for _, name := range []string{"/new", "/bin/new", "/etc/new", v.Config.Entrypoint[0]} {
		if f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
			f.Close()
			t.Errorf("%s could be written", name)
		}
	}
	for dir := range v.Volumes {
		if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
			t.Error(err)
		}
		_ = os.Remove(filepath.Join(dir, "new"))
	}
}

// command is what an engine runs.
func (v visit) command(ctx context.Context) *exec.Cmd {
	args := slices.Concat(v.Config.Entrypoint, v.Config.Cmd)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = dieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopBound
	return cmd
}

// serves starts the image as it is, asks it as who knows the password and who
// does not, ends it, and returns the password.
func (v visit) serves(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), daemonLife)
	defer cancel()
	var log bytes.Buffer
	cmd := v.command(ctx)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			<-ended
		}
	}
	defer func() {
		if stop(); t.Failed() {
			t.Logf("it printed\n%s", log.Bytes())
		}
	}()
	if len(v.Config.ExposedPorts) != 1 {
		t.Fatalf("its ports are %q", v.Config.ExposedPorts)
	}
	port := strings.TrimSuffix(v.Config.ExposedPorts[0], "/tcp")
	keys := credentials{filepath.Join("/credentials", v.Record.Component)}
	client, err := keys.client()
	for deadline := time.Now().Add(startBound); ; time.Sleep(50 * time.Millisecond) {
		if err != nil {
			client, err = keys.client()
		} else if c, dialled := net.Dial("tcp", "127.0.0.1:"+port); dialled == nil {
			c.Close()
			break
		}
		select {
		case ended := <-ended:
			stopped = true
			t.Fatalf("it ended instead of serving: %v", ended)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not listen on port %s within %v: %v", port, startBound, err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	for _, want := range []string{"\nUid:\t65532\t65532\t65532\t65532\n", "\nGid:\t65532\t65532\t65532\t65532\n", "\nCapEff:\t0000000000000000\n", "\nCapPrm:\t0000000000000000\n", "\nNoNewPrivs:\t1\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the process has not %q (%v):\n%s", want, err, status)
		}
	}
	url := "https://127.0.0.1:" + port + "/metrics"
	checkStatus(t, client, url, http.StatusOK)
	client.Transport = client.Transport.(authenticated).RoundTripper
	checkStatus(t, client, url, http.StatusUnauthorized)
	checkStatus(t, client, "http"+strings.TrimPrefix(url, "https"), http.StatusBadRequest)
	password, err := os.ReadFile(keys.password())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if bytes.Contains(log.Bytes(), password) {
		t.Error("the password is in the log")
	}
	for dir := range v.Volumes {
		if entries, err := os.ReadDir(dir); dir != "/tmp" && (err != nil || len(entries) == 0) {
			t.Errorf("nothing was written to the volume %s: %v", dir, err)
		}
	}
	return string(password)
}

// saysMount is how a server ends that has nowhere to keep its credentials.
var saysMount = regexp.MustCompile(`credentials of this server in /credentials.*mount a directory there that the user .*can write to`)

// namesMounts wants an image without volumes to end with what to mount.
func (v visit) namesMounts(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startBound)
	defer cancel()
	out, err := v.command(ctx).CombinedOutput()
	if err == nil || ctx.Err() != nil || !saysMount.Match(out) {
		t.Errorf("without volumes it ended with %v, and printed\n%s", err, out)
	}
}

// audited runs every check of "mage audit" on the binary, in here.
func (v visit) audited(t *testing.T) {
	t.Helper()
	i := slices.IndexFunc(v.Record.Binaries, func(b artifact.Binary) bool { return b.Name == v.Record.Component })
	binary := v.Config.Entrypoint[0]
	subject := audit.Subject{
		Component: v.Record.Component, Binary: binary, Digest: v.Record.Binaries[i].Digest,
		Variant: v.Record.Variant, Dir: filepath.Dir(binary), Record: &v.Record,
	}
	passed := map[string]bool{}
	_, err := audit.Run(t.Context(), subject, audit.Settings{Scratch: "/tmp"}, func(f audit.Finding) {
		passed[f.Check] = f.Status == audit.Pass
		if f.Status == audit.Fail || f.Status == audit.Skip && !slices.Contains(imaged[v.Record.Component], f.Check) {
			t.Errorf("%s %s: %s", f.Status, f.Check, f.Observation)
			return
		}
		t.Logf("%s %s: %s", f.Status, f.Check, f.Observation)
	})
	if err != nil || !passed["web.auth-required"] || !passed["web.no-plaintext"] {
		t.Errorf("it was not audited: %v", err)
	}
}
