//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"palisade/attestations/artifact"
)

var (
	engines  = flag.String("engines", "", "`list` of the container engines, docker and podman, that TestEngines runs images in; their programs are looked up in PATH")
	inEngine = flag.String("in-engine", "", "TestEngines gives this to itself: `engine` to try, in namespaces of its own")
)

// ownGroup is the control group below which the engines make theirs.
const ownGroup = "palisade-e2e"

// Docker, which keeps images in its own store, and podman load the images and
// run them by the commands that README.md shows below "Running one", and what
// runs is confined as these say. Each engine is started for this alone, on a
// store, in a network, among processes and with mounts of its own, of which
// nothing is left. It wants root.
func TestEngines(t *testing.T) {
	if *inEngine != "" {
		tryEngine(t, *inEngine)
		return
	}
	if *engines == "" {
		t.Skip("no engine is named: -engines=docker,podman runs the images in both")
	}
	dist, err := filepath.Abs(*distDir)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(*engines, ",") {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEngines$", "-test.v", "-test.timeout=5m", "-in-engine="+name, "-dist="+dist)
			cmd.SysProcAttr = dieWithParent()
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
			out, err := cmd.CombinedOutput()
			removeGroups()
			if err != nil || !bytes.Contains(out, []byte("--- PASS: TestEngines")) {
				t.Fatalf("%v:\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// removeGroups removes the control groups that outlive what was in them.
func removeGroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, _ := filepath.Glob(pattern + ownGroup)
		for _, top := range found {
			var all []string
			_ = filepath.WalkDir(top, func(name string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					all = append(all, name)
				}
				return nil
			})
			for _, name := range slices.Backward(all) {
				_ = os.Remove(name)
			}
		}
	}
}

// An engine runs containers for one process, which is the first of its
// namespaces: when that ends, so does everything.
type engine struct {
	name string
	dir  string // of everything that it keeps, and of the commands
	env  []string
}

func tryEngine(t *testing.T, name string) {
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
	} {
		if err != nil {
			t.Fatalf("mounting: %v", err)
		}
	}
	raiseLoopback(t)
	dir, err := os.MkdirTemp("", "e") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	e := &engine{name: name, dir: dir, env: []string{"HOME=" + dir, "PATH=" + dir + "/bin:" + os.Getenv("PATH")}}
	r := openRelease(t)
	if err := os.Symlink(r.dir, filepath.Join(dir, "dist")); err != nil {
		t.Fatal(err)
	}
	switch name {
	case "docker":
		e.startDocker(t)
	case "podman":
		e.preparePodman(t)
	default:
		t.Fatalf("there is no engine %q: podman and docker are known", name)
	}
	stories := readmeStories(t)
	for component := range imaged {
		t.Run(component, func(t *testing.T) {
			_, rec := r.component(t, component)
			image, _ := r.image(t, rec)
			i := slices.IndexFunc(stories, func(s string) bool { return strings.Contains(s, "\ndocker load -i dist/"+image.Name+"\n") })
			if i < 0 {
				t.Fatalf("README.md does not show how %s is run", image.Name)
			}
			e.runs(t, stories[i], rec, image)
		})
	}
}

// readmeStories are the blocks of sh of README.md below "Running one".
func readmeStories(t *testing.T) (all []string) {
	t.Helper()
	page, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n### Running one\n")
	text, _, _ = strings.Cut(text, "\n##")
	for _, block := range strings.Split(text, "\n```sh")[1:] {
		block, _, _ = strings.Cut(block, "```")
		all = append(all, block)
	}
	return all
}

func (e *engine) write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	name = filepath.Join(e.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func program(t *testing.T, name string) string {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; it is in Debian's docker.io or podman, or in what these depend on", err)
	}
	return file
}

// startDocker starts its daemon with nothing of what the machine says of it, and
// a bridge, which is in this network alone.
func (e *engine) startDocker(t *testing.T) {
	socket := "unix://" + filepath.Join(e.dir, "sock")
	e.env = append(e.env, "DOCKER_HOST="+socket)
	cmd := exec.Command(program(t, "dockerd"), "--config-file="+e.write(t, "daemon.json", "{}", 0o600), "--host="+socket, "--group=0",
		"--data-root="+filepath.Join(e.dir, "data"), "--exec-root="+filepath.Join(e.dir, "exec"), "--pidfile="+filepath.Join(e.dir, "pid"), "--log-level=error",
		"--storage-driver=vfs", "--cgroup-parent=/"+ownGroup, "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	var log bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = e.dir, e.env, &log, &log, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); t.Failed() {
			t.Logf("dockerd (%v) printed\n%s", err, log.Bytes())
		}
	})
	if out, err := e.eventually(t, "docker version"); err != nil {
		t.Fatalf("dockerd does not answer: %v\n%s", err, out)
	}
}

// preparePodman puts podman in docker's place. What it forwards ports with is
// other programs, so it gets the network that all this is in; and limits that any
// root may set.
func (e *engine) preparePodman(t *testing.T) {
	e.env = append(e.env,
		"CONTAINERS_CONF="+e.write(t, "containers.conf", fmt.Sprintf("[engine]\nconmon_path = [%q]\nruntime = \"runc\"\n[engine.runtimes]\nrunc = [%q]\n", program(t, "conmon"), program(t, "runc")), 0o600),
		"CONTAINERS_STORAGE_CONF="+e.write(t, "storage.conf", fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = \"%[1]s/data\"\nrunroot = \"%[1]s/run\"\n", e.dir), 0o600))
	e.write(t, ".config/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`, 0o600)
	e.write(t, "bin/docker", fmt.Sprintf(`#!/bin/sh
command=$1
shift
[ "$command" = run ] && set -- --network=host --cgroup-parent=/%s --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024 "$@"
exec %s --tmpdir=%[3]s/tmp --cgroup-manager=cgroupfs --events-backend=file "$command" "$@"
`, ownGroup, program(t, "podman"), e.dir), 0o755)
}

// sh has the shell run a command, and returns what it printed.
func (e *engine) sh(t *testing.T, text string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandBound) // t's own is over when it cleans up
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", text)
	cmd.Dir, cmd.Env, cmd.WaitDelay = e.dir, e.env, time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is sh of what has to succeed.
func (e *engine) must(t *testing.T, text string) string {
	t.Helper()
	out, err := e.sh(t, text)
	if err != nil {
		t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return strings.TrimSpace(out)
}

// eventually is sh, again and again, for as long as a server may take to start.
func (e *engine) eventually(t *testing.T, text string) (out string, err error) {
	t.Helper()
	for deadline := time.Now().Add(startBound); ; time.Sleep(100 * time.Millisecond) {
		if out, err = e.sh(t, text); err == nil || time.Now().After(deadline) {
			return out, err
		}
	}
}

var (
	setImage = regexp.MustCompile(`(?m)^image=.*$`)
	hasName  = regexp.MustCompile(` --name (\S+) `)
	hasPort  = regexp.MustCompile(` -p ([0-9]+):`)
)

// runs does what README.md says, and looks at what came of it.
func (e *engine) runs(t *testing.T, story string, rec artifact.Record, image artifact.Image) {
	if e.name == "docker" && len(image.Platforms) > 1 {
		story = setImage.ReplaceAllString(story, "${0}-"+strings.ReplaceAll(rec.Platform.String(), "/", "-"))
	}
	config, err := os.ReadFile("../../../recipes/prometheus/prometheus.image.yml")
	if err != nil {
		t.Fatal(err)
	}
	e.write(t, "prometheus.yml", string(config), 0o644)
	variables, name, port, start := "", "", "", ""
	for line := range strings.Lines(strings.TrimSpace(story)) {
		switch line = strings.TrimSpace(line); {
		case setImage.MatchString(line):
			variables += line + "\n"
		case strings.HasPrefix(line, "docker cp ") || strings.HasPrefix(line, "curl "): // who types is slower
			out, err := e.eventually(t, variables+line)
			if err != nil || strings.HasPrefix(line, "curl ") && !strings.Contains(out, "\n# HELP ") {
				t.Fatalf("%s: %v\n%.2000s\n%s", line, err, out, e.must(t, "docker logs "+name+" 2>&1"))
			}
		default:
			t.Logf("%s\n%s", line, e.must(t, variables+line))
			if found := hasName.FindStringSubmatch(line); found != nil {
				name, port, start = found[1], hasPort.FindStringSubmatch(line)[1], line
			}
		}
	}
	if name == "" {
		t.Fatal("README.md starts nothing")
	}
	t.Cleanup(func() { e.must(t, "docker rm -f -v "+name) })
	platform := image.Platforms[slices.IndexFunc(image.Platforms, func(p artifact.PlatformImage) bool { return p.Platform == rec.Platform })]
	if id := e.must(t, "docker inspect --format '{{.Image}}' "+name); strings.TrimPrefix(id, "sha256:") != platform.Config.Hex() {
		t.Errorf("it runs the image %s, not %s", id, platform.Config)
	}
	e.confines(t, name)
	e.keeps(t, name, "https://localhost:"+port+"/metrics")
	e.namesMount(t, variables, strings.Replace(start, " -v ", " -v "+filepath.Join(e.dir, "roots")+":/credentials -v ", 1))
}

// confines wants the server to be what the flags say.
func (e *engine) confines(t *testing.T, name string) {
	t.Helper()
	pid := e.must(t, "docker inspect --format '{{.State.Pid}}' "+name)
	status, err := os.ReadFile("/proc/" + pid + "/status")
	for _, want := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "NoNewPrivs:\t1",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000",
	} {
		if !strings.Contains(string(status), "\n"+want+"\n") {
			t.Errorf("the process has not %q (%v):\n%s", want, err, status)
		}
	}
	if mounts, err := os.ReadFile("/proc/" + pid + "/mountinfo"); !regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ / ro[, ]`).Match(mounts) {
		t.Errorf("its root is not read-only (%v):\n%s", err, mounts)
	}
}

// keeps wants the password to be asked for, the same after the server was
// stopped, and not in the log.
func (e *engine) keeps(t *testing.T, name, url string) {
	t.Helper()
	client, err := credentials{e.dir}.client()
	if err != nil {
		t.Fatal(err)
	}
	e.must(t, "docker stop "+name)
	// What handles no signal ends with 2 as a first process, and says so at once.
	if code := e.must(t, "docker inspect --format '{{.State.ExitCode}}' "+name); code != "0" && code != "2" {
		t.Errorf("it did not end when it was told to, but with %s", code)
	}
	e.must(t, "docker start "+name)
	for deadline := time.Now().Add(startBound); ; time.Sleep(100 * time.Millisecond) {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not answer again: %v", err)
		}
	}
	checkStatus(t, client, url, http.StatusOK)
	password := client.Transport.(authenticated).password
	client.Transport = client.Transport.(authenticated).RoundTripper
	checkStatus(t, client, url, http.StatusUnauthorized)
	if strings.Contains(e.must(t, "docker logs "+name+" 2>&1"), password) {
		t.Error("the password is in the log")
	}
	e.must(t, "docker stop "+name)
}

// namesMount wants the server to end where /credentials is a folder of somebody
// else, and to say what to mount.
func (e *engine) namesMount(t *testing.T, variables, start string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(e.dir, "roots"), 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	start = hasName.ReplaceAllString(start, " --name stranger ")
	start = regexp.MustCompile(` -v \S+-credentials:/credentials`).ReplaceAllString(start, "")
	e.must(t, variables+start)
	t.Cleanup(func() { e.must(t, "docker rm -f -v stranger") })
	code, out := e.must(t, "docker wait stranger"), e.must(t, "docker logs stranger 2>&1")
	if code == "0" || !saysMount.MatchString(out) {
		t.Errorf("%s: it ended with %s, and printed\n%s", start, code, out)
	}
}
