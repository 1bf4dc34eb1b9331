//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var ownNetwork = flag.Bool("own-network", false, "TestFirstStart gives this to itself, in a network that holds nothing but loopback")

// plainUser is nobody, as far as a machine that runs this as root has one.
const plainUser = 65534

// A plain user starts each component with no arguments in an empty directory,
// and has HTTPS with a password; the line that the log printed works in a
// shell; who does not know the password gets nothing. It takes place in a
// network of its own, because components listen on every address.
func TestFirstStart(t *testing.T) {
	if !*ownNetwork {
		inOwnNetwork(t)
		return
	}
	raiseLoopback(t)
	r := openRelease(t)
	for _, c := range components {
		t.Run(c.name, func(t *testing.T) {
			_, rec := r.component(t, c.name)
			s := startAsPlainUser(t, filepath.Join(r.unpack(t, rec), c.name))
			line := s.awaitCurl(t)
			out, err := s.shell(t, line)
			if err != nil || !strings.Contains(out, c.name+"_build_info{") {
				t.Errorf("the line that the log printed,\n%s\n(%v) printed\n%.2000s", line, err, out)
			}
			keys := credentials{filepath.Join(s.home, ".local", "state", "palisade", c.name)}
			client, err := keys.client()
			if err != nil {
				t.Fatal(err)
			}
			url := line[strings.LastIndex(line, "https://"):]
			checkStatus(t, client, url, http.StatusOK)
			client.Transport = client.Transport.(authenticated).RoundTripper
			checkStatus(t, client, url, http.StatusUnauthorized)
			checkStatus(t, client, "http"+strings.TrimPrefix(url, "https"), http.StatusBadRequest)
			client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs, MaxVersion: tls.VersionTLS12}
			client.CloseIdleConnections()
			if resp, err := client.Get(url); err == nil {
				resp.Body.Close()
				t.Errorf("%s was had by TLS 1.2", url)
			}
			password, err := os.ReadFile(keys.password())
			if err != nil {
				t.Fatal(err)
			}
			if log := s.printed(t); len(password) < 22 || bytes.Contains(log, password) {
				t.Errorf("the password of %d characters is in the log, or too short:\n%s", len(password), log)
			}
		})
	}
}

// checkStatus wants a status of a page, and of every status but 200 that
// nothing of the page comes with it.
func checkStatus(t *testing.T, client *http.Client, url string, want int) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Errorf("%s: %v", url, err)
		return
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode != want || (want != http.StatusOK && len(page) > 200) || (err != nil && !errors.Is(err, io.ErrUnexpectedEOF)) {
		t.Errorf("%s answered %s (%v), want %d:\n%.300s", url, resp.Status, err, want, page)
	}
}

// inOwnNetwork runs this test again, alone, where there is only loopback.
func inOwnNetwork(t *testing.T) {
	dist, err := filepath.Abs(*distDir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFirstStart$", "-test.v", "-own-network", "-dist="+dist)
	cmd.SysProcAttr = dieWithParent()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFirstStart")) {
		t.Errorf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
}

func raiseLoopback(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatalf("bringing loopback up: %v", err)
	}
}

// A stranger is what a plain user started.
type stranger struct {
	home, log  string
	attributes *syscall.SysProcAttr
	done       chan struct{}
}

func startAsPlainUser(t *testing.T, binary string) *stranger {
	t.Helper()
	for dir := filepath.Dir(binary); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // or nobody would not reach it
			t.Fatal(err)
		}
	}
	s := &stranger{home: t.TempDir(), attributes: dieWithParent(), done: make(chan struct{})}
	if err := os.Chmod(filepath.Dir(s.home), 0o755); err != nil {
		t.Fatal(err)
	}
	// Without a map of users beyond one, root here is a plain user already.
	if own, err := os.ReadFile("/proc/self/uid_map"); err == nil && len(strings.Fields(string(own))) == 3 && strings.Fields(string(own))[2] != "1" {
		s.attributes.Credential = &syscall.Credential{Uid: plainUser, Gid: plainUser}
		if err := os.Chown(s.home, plainUser, plainUser); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), daemonLife)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.log = log.Name()
	cmd := exec.CommandContext(ctx, binary)
	cmd.Dir, cmd.Env, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = s.home, s.environment(), s.attributes, log, log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		cancel()
		<-s.done
		if t.Failed() {
			t.Logf("%s printed\n%s", binary, s.printed(t))
		}
	})
	return s
}

func (s *stranger) environment() []string { return []string{"HOME=" + s.home, "PATH=/usr/bin:/bin"} }

func (s *stranger) printed(t *testing.T) []byte {
	t.Helper()
	log, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// curlField is how log/slog's text handler writes the command.
var curlField = regexp.MustCompile(`\bcurl=("(?:[^"\\]|\\.)*")`)

// awaitCurl returns the command line that the log prints at the first start.
func (s *stranger) awaitCurl(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(startBound); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if m := curlField.FindSubmatch(s.printed(t)); m != nil {
			line, err := strconv.Unquote(string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			return line
		}
		select {
		case <-s.done:
			t.Fatal("it ended instead of serving")
		default:
		}
	}
	t.Fatalf("it printed no line for curl within %v", startBound)
	return ""
}

// shell runs a line as the same user, until curl was connected.
func (s *stranger) shell(t *testing.T, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", line+" --silent --show-error --fail --retry 20 --retry-connrefused --retry-delay 1")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.home, s.environment(), s.attributes
	out, err := cmd.CombinedOutput()
	return string(out), err
}
