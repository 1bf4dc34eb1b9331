package audit

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

// asDaemon is the subject of a daemon that breaks one promise.
func asDaemon(t *testing.T, breaks string) Subject {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "daemon."+breaks)
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	s, err := Inspect(name, "pushgateway")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var update = flag.Bool("update", false, "write testdata/statement.json")

var lightLoad = load{slowClients: 20, slowTime: 5 * time.Second, wrongPasswords: 400, wrongTime: 20 * time.Second, storm: 60, settleTime: 0}

// found runs the checks with the ids, or all of the web, of denial of service
// and of patches.
func found(t *testing.T, s Subject, set Settings, ids ...string) map[string]Finding {
	t.Helper()
	var chosen []Check
	for _, c := range append(append(append([]Check{}, webChecks...), dosChecks...), patchesChecks...) {
		if len(ids) == 0 || strings.Contains(strings.Join(ids, " ")+" ", c.ID+" ") {
			chosen = append(chosen, c)
		}
	}
	set.Scratch, set.load = t.TempDir(), &lightLoad
	all := map[string]Finding{}
	findings, err := run(t.Context(), s, set, chosen, func(f Finding) { all[f.Check] = f })
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != len(chosen) || len(all) != len(chosen) {
		t.Fatalf("%d findings of %d checks, %d told", len(findings), len(chosen), len(all))
	}
	if left, err := os.ReadDir(set.Scratch); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	return all
}

func TestGood(t *testing.T) {
	for id, f := range found(t, asDaemon(t, "good"), Settings{}) {
		want := Pass
		if id == "patches.declared" {
			want = Skip
		}
		if f.Status != want {
			t.Errorf("%s: %s: %s", id, f.Status, f.Observation)
		}
	}
}

// A daemon that knows nothing of the promises.
func TestVanilla(t *testing.T) {
	subject := asDaemon(t, "vanilla")
	for id, f := range found(t, subject, Settings{}, "web.no-plaintext", "web.auth-required", "web.unique-credentials", "web.file-modes", "web.no-secret-in-log",
		"web.refuse-cleartext-auth", "web.bcrypt-floor", "web.tls-min", "web.headers", "web.health-open", "web.no-pprof") {
		want := Fail
		if id == "web.no-secret-in-log" {
			want = Skip
		}
		if f.Status != want || strings.Contains(f.Observation, "could not be checked") {
			t.Errorf("%s: %s: %s", id, f.Status, f.Observation)
		}
	}
}

// Each daemon breaks one promise, and its check says how.
func TestBroken(t *testing.T) {
	for _, tt := range []struct{ breaks, check, seen string }{
		{"open", "web.auth-required", "without credentials is answered with status 200"},
		{"shared", "web.unique-credentials", "two hosts get the same password"},
		{"overwrite", "web.unique-credentials", "changed the credentials"},
		{"modes", "web.file-modes", "password has mode -rw-r-----"},
		{"modes-later", "web.file-modes", "with password of mode 0644: it started"},
		{"damaged", "web.file-modes", "with password cut in half: it started"},
		{"log", "web.no-secret-in-log", "the log tells the password"},
		{"cleartext", "web.refuse-cleartext-auth", "users without TLS on every address: it started"},
		{"bcrypt", "web.bcrypt-floor", "a hash of cost 04: it started"},
		{"bcrypt-later", "web.bcrypt-floor", "put into the file while it runs lets its user in"},
		{"tls-default", "web.tls-min", "it takes TLS 1.2"},
		{"tls-old", "web.tls-min", "with min_version: TLS11: it started"},
		{"headers", "web.headers", "X-Content-Type-Options is"},
		{"csp", "web.headers", "allows 'unsafe-inline' in script-src"},
		{"health", "web.health-open", "GET /-/healthy without credentials is answered with status 401"},
		{"health-prefix", "web.health-open", "GET /-/healthy/ without credentials is answered with status 200"},
		{"pprof", "web.no-pprof", "/debug/pprof/ is answered with status 200"},
		{"slow", "dos.slowloris", "20 clients with unfinished requests are still connected"},
		{"header-size", "dos.header-size", "is taken"},
		{"throttle", "dos.login-throttle", "no throttle"},
		{"panic", "dos.malformed", `speaks of "panic"`},
	} {
		t.Run(tt.breaks, func(t *testing.T) {
			t.Parallel()
			f := found(t, asDaemon(t, tt.breaks), Settings{}, tt.check)[tt.check]
			if f.Status != Fail || !strings.Contains(f.Observation, tt.seen) {
				t.Errorf("%s %s: %s, want FAIL with %q", tt.check, f.Status, f.Observation, tt.seen)
			}
		})
	}
}

// What ships is searched.
func TestShipped(t *testing.T) {
	own, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	made := set{"password": "MADEMADEMADEMADEMADEMADEMA"}
	for text, want := range map[string]string{
		strings.Repeat("x", 5<<20):                                 "",
		strings.Repeat("x", 4<<20-10) + string(own.key):            "a key or certificate",
		string(own.cert):                                           "a key or certificate",
		"basic_auth_users:\n  admin: " + hashOfCost10 + "\n":       "the hash of a password",
		"\x7fELF\x00 " + hashOfCost10:                              "",
		"\x7fELF\x00" + strings.Repeat("x", 99) + made["password"]: "what a start made",
	} {
		err := search(t.Context(), "file", strings.NewReader(text), []set{made})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

func TestPatchesDeclared(t *testing.T) {
	subject := asDaemon(t, "good")
	subject.Record = &artifact.Record{Variant: "vanilla", Version: "1.0-palisade.1"}
	check := func(want Status, seen string) {
		t.Helper()
		f := found(t, subject, Settings{}, "patches.declared")["patches.declared"]
		if f.Status != want || !strings.Contains(f.Observation, seen) {
			t.Errorf("%s: %s, want %s with %q", f.Status, f.Observation, want, seen)
		}
	}
	check(Pass, "--version says 1.0-palisade.1")
	subject.Record.Variant = "hardened"
	check(Fail, "it is called hardened, and has no patch")
	subject.Record.Variant = "vanilla"
	subject.Record.Version = "2.0-palisade.1"
	check(Fail, "--version does not say 2.0")
	subject.Record.Patched = []artifact.Patched{{From: artifact.Module{Path: "example.org/x"}}}
	check(Fail, "the record speaks of 1 changed modules, the binary of 0")
}

func TestStatement(t *testing.T) {
	subject := Subject{Component: "pushgateway", Binary: "/somewhere/pushgateway", Digest: artifact.DigestBytes([]byte("binary")),
		Record: &artifact.Record{Name: "pushgateway-1.0-palisade.1.linux-amd64.tar.gz", Digest: artifact.DigestBytes([]byte("archive"))}}
	findings := []Finding{{"web.no-plaintext", 1, Pass, "HTTPS"}, {"web.headers", 6, Fail, "X is <none>"}, {"web.health-open", 7, Skip, "not there"}}
	got, err := Statement(subject, findings)
	if err != nil {
		t.Fatal(err)
	}
	// The digest of the checks is another with each promise.
	got = bytes.Replace(got, []byte(ChecksDigest("pushgateway").Hex()), []byte("CHECKS"), 1)
	golden := filepath.Join("testdata", "statement.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, got\n%s", err, got)
	}
	for _, refused := range [][]Finding{nil, {{"x", 1, "GOOD", ""}}} {
		if _, err := Statement(subject, refused); err == nil {
			t.Errorf("%v became a result", refused)
		}
	}
}

// What was skipped is never counted as passed.
func TestPassed(t *testing.T) {
	for _, tt := range []struct {
		statuses []Status
		want     bool
	}{
		{nil, false}, {[]Status{Skip}, false}, {[]Status{Pass}, true}, {[]Status{Pass, Skip}, true}, {[]Status{Pass, Fail}, false}, {[]Status{Pass, ""}, false},
	} {
		var findings []Finding
		for _, s := range tt.statuses {
			findings = append(findings, Finding{Status: s})
		}
		if got := Passed(findings); got != tt.want {
			t.Errorf("%v: %v", tt.statuses, got)
		}
	}
}

// What is observed goes into a result that is published.
func TestPresentable(t *testing.T) {
	b := &bench{dir: "/scratch/pushgateway-1"}
	b.secret("hidden")
	if got := b.presentable("a\x1b[2J hidden\n /scratch/pushgateway-1/3/log " + strings.Repeat("é", 600)); !strings.HasPrefix(got, "a?[2J [secret] 3/log é") || len(got) > maxObservation+3 {
		t.Errorf("%q", got)
	}
}

// A binary that is not the one to be audited, and one that nobody knows.
func TestNotAudited(t *testing.T) {
	for _, tt := range []struct {
		change func(*Subject)
		want   string
	}{
		{func(s *Subject) { s.Digest = artifact.DigestBytes(nil) }, "is not the binary that was to be audited"},
		{func(s *Subject) { s.Component = "cortex" }, "no check knows the component \"cortex\"; there are: alertmanager, "},
		{func(s *Subject) { s.Binary += ".gone" }, "no such file"},
	} {
		s := asDaemon(t, "good")
		tt.change(&s)
		_, err := Run(t.Context(), s, Settings{Scratch: t.TempDir()}, func(Finding) { t.Error("a finding") })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

// The table is complete and says what each check is about.
func TestChecks(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.ID] || len(c.Rows) != 1 || c.Rows[0] < 1 || c.Rows[0] > 26 || c.Doc == "" || c.run == nil {
			t.Errorf("%+v", fmt.Sprint(c.ID, c.Rows, c.Doc))
		}
		seen[c.ID] = true
		for _, name := range c.Components {
			if _, ok := components[name]; !ok {
				t.Errorf("%s: no component is called %s", c.ID, name)
			}
		}
	}
}
