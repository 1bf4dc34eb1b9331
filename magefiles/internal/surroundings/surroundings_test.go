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
	Listing       []string // files that it made in the cache, as they are listed there
	Shared        string   // what it finds in the cache's file "shared", and in the folder that "linked/in" leads to
}

// observeArg makes the test's program say what it sees, on its stderr.
const observeArg = "-observe"

// leaveArg makes it leave a file in the cache.
const leaveArg = "-leave"

// waitArg makes it wait until it is interrupted.
const waitArg = "-wait"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == waitArg {
		wait(os.Args[2])
	}
	if len(os.Args) > 2 && os.Args[1] == leaveArg {
		if err := os.WriteFile(filepath.Join(os.Args[2], "shared"), []byte("left by the one before"), 0o600); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == observeArg {
		if err := json.NewEncoder(os.Stderr).Encode(observe(os.Getenv("CACHE"))); err != nil {
			os.Exit(1)
		}
		if len(os.Args) > 2 {
			os.Exit(7)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func observe(cache string) observation {
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
	if many, err := os.MkdirTemp(cache, "many-"); err == nil {
		for i := range 40 {
			_ = os.WriteFile(filepath.Join(many, fmt.Sprint("file", i)), nil, 0o600)
		}
		if f, err := os.Open(many); err == nil {
			o.Listing, _ = f.Readdirnames(-1)
			f.Close()
		}
	}
	for _, name := range []string{"shared", "linked/in/fetched"} {
		data, _ := os.ReadFile(filepath.Join(cache, name))
		o.Shared += string(data) + "\n"
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
	home, dir, cache, fetched := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(fetched, "fetched"), []byte("fetched before"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SURROUNDINGS_SECRET", "x")
	var stderr bytes.Buffer
	tried, err := Do(t.Context(), Place{
		Home: home, Cache: cache, Links: map[string]string{"linked/in": fetched}, Stderr: &stderr,
		Keep: []string{"PATH=/kept", "GOPROXY=http://kept"},
	}, []Program{
		{Name: "one", Args: []string{self, leaveArg, cache}, Dir: dir},
		{Name: "two", Args: []string{self, observeArg}, Dir: dir, Says: "it begins", Keep: []string{"CACHE=" + cache}},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	said, ok := strings.CutPrefix(stderr.String(), "it begins\n")
	var there observation
	if err := json.Unmarshal([]byte(said), &there); err != nil || !ok {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	here := observe(cache)
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
		{fileOrder, len(there.Listing) == 40 && !slices.Equal(there.Listing, here.Listing) && here.Shared == "\n\n", there.Listing},
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
		ours := []string{"PATH", "GOPROXY", "CACHE", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ"}
		if !slices.Contains(ours, name) && !slices.Contains(misleading, kv) {
			t.Errorf("it sees %s", kv)
		}
	}
	if !slices.Contains(there.Env, "PATH=/kept") || !slices.Contains(there.Env, "GOPROXY=http://kept") {
		t.Errorf("it does not see what was to be kept: %q", there.Env)
	}
	if there.Shared != "left by the one before\nfetched before\n" {
		t.Errorf("in the cache it finds %q", there.Shared)
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
	dir := t.TempDir()
	program := func(name string, args ...string) Program { return Program{Name: name, Args: args, Dir: dir} }
	good := program("good", self, leaveArg, dir)
	var stderr bytes.Buffer
	var links map[string]string
	try := func(programs ...Program) error {
		stderr.Reset()
		_, err := Do(t.Context(), Place{Home: t.TempDir(), Cache: t.TempDir(), Links: links, Stderr: &stderr}, programs)
		return err
	}
	never := program("never", self, leaveArg, filepath.Join(dir, "nowhere"))
	err = try(good, program("bad", self, observeArg, "fail"), never)
	if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 7 || !strings.HasPrefix(err.Error(), "bad: ") {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
	err = try(good, program("missing", "/nonexistent"))
	if err == nil || !strings.HasPrefix(err.Error(), "missing: ") || !strings.Contains(stderr.String(), "in other surroundings: fork/exec /nonexistent") {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
	// Killed: the status is of who started it, and says so all the same.
	err = try(program("killed", "/bin/sh", "-c", "kill -9 $$"))
	if err == nil || !strings.HasPrefix(err.Error(), "killed: ") || !strings.Contains(stderr.String(), "signal: killed") {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
	// And so if the one that runs them all is killed, as by a lack of memory.
	err = try(good, program("hungry", "/bin/sh", "-c", "kill -9 $PPID"), never)
	if err == nil || err.Error() != "hungry: signal: killed" {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
	// What could not be told to whoever runs them is not tried.
	err = try(good, program("bytes", self, "\xff"))
	if err == nil || err.Error() != `bytes: "\xff" is not UTF-8` || stderr.Len() != 0 {
		t.Errorf("got %v\n%s", err, stderr.Bytes())
	}
	// What fails before any of them is none of theirs.
	links = map[string]string{".": dir}
	err = try(never)
	if err == nil || err.Error() != "exit status 1" || !strings.Contains(stderr.String(), "in other surroundings: symlink ") {
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
			reads, writes, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reads.Close()
			ended := make(chan error, 1)
			go func() {
				_, err := Do(ctx, Place{Home: t.TempDir(), Cache: t.TempDir(), Stderr: writes}, []Program{{Args: []string{self, waitArg, how}, Dir: dir}})
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
			// The pipe ends when nobody is left who could write to it.
			writes.Close()
			_ = reads.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadAll(reads); err != nil {
				t.Errorf("the program lives on: %v", err)
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
