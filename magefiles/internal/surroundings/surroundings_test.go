package surroundings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// An observation is what a program sees of its surroundings.
type observation struct {
	User, Group   int
	Host          string
	Umask         string // mode of a file that it made 0666
	CPUs          int
	Dir           string
	Env           []string
	Zone          int      // seconds east of UTC
	Capabilities  []string // lines of /proc/self/status that grant any
	EffectiveRoot bool
}

// observeArg makes the test's program say what it sees, on its stderr.
const observeArg = "-observe"

// waitArg makes it wait until it is interrupted.
const waitArg = "-wait"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == waitArg {
		wait(os.Args[2])
	}
	if len(os.Args) > 1 && os.Args[1] == observeArg {
		if err := json.NewEncoder(os.Stderr).Encode(observe()); err != nil {
			os.Exit(1)
		}
		if len(os.Args) > 2 {
			os.Exit(7)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func observe() observation {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	_, zone := time.Unix(0, 0).Zone()
	o := observation{
		User: os.Getuid(), Group: os.Getgid(), Host: host, CPUs: runtime.NumCPU(), Dir: dir, Env: os.Environ(), Zone: zone,
		EffectiveRoot: os.Geteuid() == 0,
	}
	if f, err := os.OpenFile(filepath.Join(os.TempDir(), "made"), os.O_CREATE|os.O_WRONLY, 0o666); err == nil {
		if info, err := f.Stat(); err == nil {
			o.Umask = fmt.Sprintf("%04o", info.Mode().Perm())
		}
		f.Close()
	}
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		// What a program may do now, and what it may pass on. CapBnd and CapPrm
		// of root in its own namespace are not asked about: exec drops them.
		for _, name := range []string{"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"} {
			if strings.HasPrefix(line, name) && strings.Trim(line[len(name):], "\t 0") != "" {
				o.Capabilities = append(o.Capabilities, line)
			}
		}
	}
	return o
}

func TestDo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home, dir := t.TempDir(), t.TempDir()
	t.Setenv("SURROUNDINGS_SECRET", "x")
	var stderr bytes.Buffer
	tried, err := Do(t.Context(), Run{
		Args: []string{self, observeArg}, Dir: dir, Home: home, Stderr: &stderr,
		Keep: []string{"PATH=/kept", "GOPROXY=http://kept"},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var there observation
	if err := json.Unmarshal(stderr.Bytes(), &there); err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	here := observe()
	why := map[string]string{}
	for _, v := range tried {
		if _, ok := why[v.Name]; ok {
			t.Errorf("%s is listed twice", v.Name)
		}
		why[v.Name] = v.Why
	}
	for _, tt := range []struct {
		name string
		ok   bool
		got  any
	}{
		{"directory", there.Dir == dir && here.Dir != dir, there.Dir},
		{"home", slices.Contains(there.Env, "HOME="+home) && slices.Contains(there.Env, "TMPDIR="+home), there.Env},
		{"host name", there.Host == hostName && here.Host != hostName, there.Host},
		{"locale", slices.Contains(there.Env, "LC_ALL="+locale) && slices.Contains(there.Env, "LANG="+locale), there.Env},
		{"processors", there.CPUs == 1 && here.CPUs > 1, there.CPUs},
		{"time zone", slices.Contains(there.Env, "TZ="+timeZone), there.Env},
		{"umask", there.Umask == "0600" && here.Umask != "0600", there.Umask},
		{"user", there.User == userID && there.Group == userID && here.User != userID, there.User},
		{"variables", !slices.ContainsFunc(misleading, func(kv string) bool { return !slices.Contains(there.Env, kv) }), there.Env},
	} {
		reason, listed := why[tt.name]
		switch {
		case !listed:
			t.Errorf("%s is not listed", tt.name)
		case reason != "":
			t.Logf("%s was not varied: %s", tt.name, reason)
			if tt.ok && tt.name != "processors" {
				t.Errorf("%s was said not to be varied and was", tt.name)
			}
		case !tt.ok:
			t.Errorf("%s was said to be varied and is %v", tt.name, tt.got)
		}
		delete(why, tt.name)
	}
	if len(why) != 0 {
		t.Errorf("nothing looks at %v", why)
	}
	if !slices.IsSortedFunc(tried, func(a, b Variation) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("not sorted: %v", tried)
	}
	// Nothing of this process' environment but what was to be kept.
	for _, kv := range there.Env {
		name, _, _ := strings.Cut(kv, "=")
		ours := []string{"PATH", "GOPROXY", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ"}
		if !slices.Contains(ours, name) && !slices.Contains(misleading, kv) {
			t.Errorf("it sees %s", kv)
		}
	}
	if !slices.Contains(there.Env, "PATH=/kept") || !slices.Contains(there.Env, "GOPROXY=http://kept") {
		t.Errorf("it does not see what was to be kept: %q", there.Env)
	}
	if user := slices.IndexFunc(tried, func(v Variation) bool { return v.Name == "user" }); tried[user].Why == "" && (len(there.Capabilities) != 0 || there.EffectiveRoot) {
		t.Errorf("it has capabilities: %q", there.Capabilities)
	}
}

// The program's failure is the caller's to see.
func TestDoFails(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	_, err = Do(t.Context(), Run{Args: []string{self, observeArg, "fail"}, Dir: t.TempDir(), Home: t.TempDir(), Stderr: &stderr})
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 7 {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
	stderr.Reset()
	_, err = Do(t.Context(), Run{Args: []string{"/nonexistent"}, Dir: t.TempDir(), Home: t.TempDir(), Stderr: &stderr})
	if err == nil || !strings.Contains(stderr.String(), "changing surroundings:") {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
}

// Who ends the run interrupts the program, which clears away; and kills it where
// it does not end by that.
func TestDoInterrupts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"clear", "ignore"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			why := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			ended := make(chan error, 1)
			go func() {
				_, err := Do(ctx, Run{Args: []string{self, waitArg, how}, Dir: dir, Home: t.TempDir(), Stderr: io.Discard})
				ended <- err
			}()
			made := filepath.Join(dir, "made")
			for _, err := os.Stat(made); err != nil; _, err = os.Stat(made) {
				select {
				case err := <-ended:
					t.Fatalf("it ended by itself: %v", err)
				case <-time.After(time.Millisecond):
				}
			}
			cancel(why)
			if err := <-ended; !errors.Is(err, why) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(made); (err == nil) != (how == "ignore") {
				t.Errorf("what it made: %v", err)
			}
		})
	}
}

// wait makes a file, and ends when it is interrupted, having removed it; or
// never.
func wait(how string) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	if err := os.WriteFile("made", nil, 0o644); err != nil {
		os.Exit(1)
	}
	<-interrupted
	if how == "ignore" {
		select {}
	}
	_ = os.Remove("made")
	os.Exit(1)
}

// None of the values is what a machine has anyway, or else nothing is varied.
func TestValuesAreUnusual(t *testing.T) {
	if !slices.IsSorted(misleading) {
		t.Errorf("not sorted: %q", misleading)
	}
	for _, kv := range misleading {
		name, value, _ := strings.Cut(kv, "=")
		if os.Getenv(name) == value {
			t.Errorf("%s is set here too", kv)
		}
	}
}
