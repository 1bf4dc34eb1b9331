//go:build e2e && unix

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	daemonLife   = 3 * time.Minute  // after which a daemon is stopped, whatever happens
	startBound   = time.Minute      // until it answers
	stopBound    = 30 * time.Second // until it ended after SIGTERM
	commandBound = time.Minute
)

// run runs a command to its end in dir, with next to nothing in its
// environment, and returns what it printed.
func run(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandBound)
	defer cancel()
	cmd := command(ctx, t, dir, args)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s did not end within %v:\n%s", strings.Join(args, " "), commandBound, out)
	}
	return string(out), err
}

func command(ctx context.Context, t *testing.T, dir string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, args[0]), args[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + t.TempDir()}
	cmd.SysProcAttr = dieWithParent()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// A daemon is a running component.
type daemon struct {
	url    string // https://127.0.0.1:PORT
	name   string
	keys   credentials
	client *http.Client
	cmd    *exec.Cmd
	log    string // path
	done   chan struct{}
	end    error // of cmd.Wait, once done is closed
	once   sync.Once
}

// start runs a daemon in dir, which its arguments tell to listen on address,
// until the test ends. It returns as soon as the daemon answers who shows the
// credentials that it made.
func start(t *testing.T, dir, address string, args ...string) *daemon {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(context.Background(), daemonLife)
	d := &daemon{
		url: "https://" + address, name: args[0], keys: credentials{filepath.Join(dir, "credentials", args[0])},
		log: log.Name(), done: make(chan struct{}),
	}
	d.cmd = command(ctx, t, dir, append(args, "--web.credentials-dir=credentials"))
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer cancel()
		d.end = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		if out, err := os.ReadFile(d.log); t.Failed() {
			t.Logf("%s printed (%v):\n%s", d.name, err, out)
		}
	})
	t.Cleanup(func() { d.stop(t) })
	d.await(t)
	return d
}

// freeAddress is one that nothing listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *daemon) await(t *testing.T) {
	t.Helper()
	deadline := time.After(startBound)
	for {
		if d.client == nil {
			d.client, _ = d.keys.client() // there are none until it made them
		}
		if d.client != nil {
			if _, err := d.get(t, "/metrics"); err == nil {
				return
			}
		}
		select {
		case <-d.done:
			t.Fatalf("%s ended instead of serving: %v", d.name, d.end)
		case <-deadline:
			t.Fatalf("%s did not answer within %v", d.name, startBound)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the daemon as an init system does, once: it has to end by itself,
// with success or by that very signal.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	d.once.Do(func() {
		select {
		case <-d.done:
			t.Errorf("%s ended before it was told to: %v", d.name, d.end)
			return
		default:
		}
		if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("ending %s: %v", d.name, err)
		}
		select {
		case <-d.done:
		case <-time.After(stopBound):
			t.Errorf("%s did not end within %v of SIGTERM", d.name, stopBound)
			d.cmd.Process.Kill()
			<-d.done
			return
		}
		status := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !d.cmd.ProcessState.Success() && !(status.Signaled() && status.Signal() == syscall.SIGTERM) {
			t.Errorf("%s ended badly after SIGTERM: %v", d.name, d.end)
		}
	})
}

// get returns the body of the daemon's page, which has to be there.
func (d *daemon) get(t *testing.T, path string) (string, error) {
	return d.do(t, http.MethodGet, path, "", "")
}

// do sends a request and returns the body of the answer, which has to be one
// of success and of a bounded size.
func (d *daemon) do(t *testing.T, method, path, contentType, body string) (string, error) {
	req, err := http.NewRequestWithContext(t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, page)
	}
	return string(page), err
}
