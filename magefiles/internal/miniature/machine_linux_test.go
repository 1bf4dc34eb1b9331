package miniature

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine makes one beside another; each has a file.
func machine(t *testing.T) (m Machine, other string) {
	t.Helper()
	if out, err := exec.Command("unshare", "-Urm", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine refuses namespaces: %v: %s", err, out)
	}
	all := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(all, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(all, name, "file"), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Machine{Dir: filepath.Join(all, "one")}, filepath.Join(all, "two")
}

// run runs a script to its end, and gives what it printed and who was called.
func (m Machine) run(t *testing.T, script string, env ...string) (out string, contacts map[string]int, err error) {
	t.Helper()
	var b bytes.Buffer
	p, err := m.Start(t.Context(), Command{Args: []string{"/bin/bash", "-ec", script}, Dir: m.Dir, Env: env, Stdout: &b, Stderr: &b})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Wait()
	return b.String(), p.Contacts(), err
}

func TestMachineSeesItsOwn(t *testing.T) {
	m, other := machine(t)
	out, _, err := m.run(t, "cat file; pwd; ls "+other+" || echo hidden; env; id -u; echo new >made", "A=b")
	if err != nil {
		t.Fatal(err, out)
	}
	for _, want := range []string{"one\n", m.Dir + "\n", "hidden\n", "A=b\n", fmt.Sprintf("\n%d\n", os.Geteuid())} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "HOME=") || strings.Contains(out, "PATH=/") && os.Getenv("PATH") != "" && strings.Contains(out, os.Getenv("PATH")) {
		t.Errorf("it has this process's environment:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(m.Dir, "made")); err != nil {
		t.Error("what it wrote is not there:", err)
	}
	if data, err := os.ReadFile(filepath.Join(other, "file")); err != nil || string(data) != "two\n" {
		t.Errorf("the other machine's folder is not as it was: %q, %v", data, err)
	}
}

// What is called answers if it is given, and nobody else is there, whether or not
// somebody listens outside.
func TestMachineReachesItsServices(t *testing.T) {
	m, _ := machine(t)
	say := func(what string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, what) }))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	given, withheld := say("given"), say("withheld")
	m.Services = map[string]string{"registry": given}
	call := func(address string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf("exec 3<>/dev/tcp/%s/%s; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3", host, port)
	}
	out, contacts, err := m.run(t, call(given))
	if err != nil || !strings.Contains(out, "given") || contacts["registry"] != 1 {
		t.Errorf("a service that it is given: %v, %v\n%s", err, contacts, out)
	}
	for _, address := range []string{withheld, "192.0.2.1:80"} {
		if out, contacts, err := m.run(t, call(address)); err == nil || strings.Contains(out, "withheld") || len(contacts) > 0 {
			t.Errorf("%s was reached: %v\n%s", address, contacts, out)
		}
	}
}

// A machine can make namespaces of its own, as a sandbox does.
func TestMachineInMachine(t *testing.T) {
	m, _ := machine(t)
	if out, _, err := m.run(t, "unshare -Urmn --map-root-user true", "PATH=/usr/bin:/bin"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMachineOff(t *testing.T) {
	m, _ := machine(t)
	p, err := m.Start(t.Context(), Command{Args: []string{"/bin/bash", "-c", "sleep 600 & sleep 600"}, Dir: m.Dir, Env: []string{"PATH=/usr/bin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if err := p.Off(); err != nil {
		t.Fatal(err)
	}
	if p.Wait() == nil {
		t.Error("it ended well")
	}
}

// What cannot be started says so.
func TestMachineRefuses(t *testing.T) {
	m, _ := machine(t)
	p, err := m.Start(t.Context(), Command{Args: []string{"/bin/true"}, Dir: filepath.Join(m.Dir, "none")})
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("in a folder that is not there: %v, %v", p, err)
	}
}
