package audit

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests start this test's own binary under another name: as a daemon that
// keeps every promise, "daemon.good", or one that breaks the promise that its
// name ends with.
func TestMain(m *testing.M) {
	if breaks, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "daemon."); ok {
		d := &daemon{breaks: breaks, flags: map[string]string{}, wrong: map[string]int{}}
		if err := d.run(os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "level=ERROR msg=%q\n", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const daemonHelp = `usage: daemon
  --web.listen-address=ADDRESS
  --web.config.file=FILE
  --web.credentials-dir=DIR
  --[no-]web.insecure-allow-cleartext
  --[no-]web.enable-pprof
  --[no-]web.enable-admin-api
`

// A daemon is a pushgateway as far as the checks of the web look at one.
type daemon struct {
	breaks         string
	flags          map[string]string
	dir            string // of its credentials
	user, password string
	cert           tls.Certificate
	min            uint16
	cleartext      bool // served without TLS

	mu    sync.Mutex
	wrong map[string]int // passwords by address
}

func (d *daemon) run(args []string) error {
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		d.flags[name] = value
	}
	if _, ok := d.flags["--help"]; ok {
		_, err := io.WriteString(os.Stdout, daemonHelp)
		return err
	}
	if _, ok := d.flags["--version"]; ok {
		_, err := io.WriteString(os.Stdout, "daemon, version 1.0-palisade.1\n")
		return err
	}
	l, err := net.Listen("tcp", d.flags["--web.listen-address"])
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "level=INFO msg=\"Listening on\" address=%s\n", l.Addr())
	if d.breaks == "vanilla" {
		return http.Serve(l, http.HandlerFunc(d.component))
	}
	if err := d.configure(); err != nil {
		return err
	}
	server := &http.Server{Handler: d, ErrorLog: log.New(os.Stderr, "", 0), ReadHeaderTimeout: time.Second, MaxHeaderBytes: 64 << 10}
	if d.breaks == "slow" {
		server.ReadHeaderTimeout = 0
	}
	if d.breaks == "header-size" {
		server.MaxHeaderBytes = 1 << 20
	}
	if !d.cleartext {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{d.cert}, MinVersion: d.min}
		return server.ServeTLS(l, "", "")
	}
	return server.Serve(l)
}

// configure takes a web config file, or the credentials.
func (d *daemon) configure() error {
	d.min = tls.VersionTLS13
	if d.breaks == "tls-default" {
		d.min = tls.VersionTLS12
	}
	file := d.flags["--web.config.file"]
	if file == "" {
		return d.credentials()
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(data)
	if d.cleartext = !strings.Contains(text, "cert_file"); d.cleartext {
		_, allowed := d.flags["--web.insecure-allow-cleartext"]
		loopback := strings.HasPrefix(d.flags["--web.listen-address"], "127.")
		if !allowed && !loopback && d.breaks != "cleartext" {
			return errors.New("say --web.insecure-allow-cleartext")
		}
		fmt.Fprintln(os.Stderr, "level=WARN msg=cleartext")
	} else if d.cert, err = tls.LoadX509KeyPair(field(text, "cert_file"), field(text, "key_file")); err != nil {
		return err
	}
	if strings.Contains(text, "min_version: TLS12") {
		d.min = tls.VersionTLS12
	}
	if old := regexp.MustCompile(`m.._version: TLS1[01]`).FindString(text); old != "" && d.breaks != "tls-old" {
		return errors.New(old)
	}
	hash := bcryptHash.FindString(text)
	if hash == "" {
		return nil
	}
	d.user, d.password = auditUser, auditPassword
	if hash[4:6] < "10" && d.breaks != "bcrypt" {
		return errors.New("user " + auditUser + ": use htpasswd")
	}
	return nil
}

func field(text, name string) string {
	return regexp.MustCompile(name + `: (\S+)`).FindStringSubmatch(text)[1]
}

// credentials makes or takes the set.
func (d *daemon) credentials() error {
	base := d.flags["--web.credentials-dir"]
	for _, other := range []string{os.Getenv("PALISADE_CREDENTIALS_DIR"), strings.Split(os.Getenv("STATE_DIRECTORY"), ":")[0]} {
		if base == "" {
			base = other
		}
	}
	if home := os.Getenv("HOME"); base == "" && home != "" {
		base = filepath.Join(home, ".local/state/palisade")
	}
	if base == "" {
		return errors.New("pass --web.credentials-dir")
	}
	d.user, d.dir = "admin", filepath.Join(base, "pushgateway")
	if _, err := os.Stat(d.dir); err != nil || d.breaks == "overwrite" {
		if err := d.make(base); err != nil {
			return err
		}
	}
	all := set{}
	for _, name := range setFiles {
		file := filepath.Join(d.dir, name)
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if info.Mode() != 0o600 && !strings.HasPrefix(d.breaks, "modes") || err != nil {
			return fmt.Errorf("%s is damaged: %v", file, err)
		}
		all[name] = string(data)
	}
	if len(all["password"]) < 26 && (d.breaks != "damaged" || all["password"] == "") || bcryptHash.FindString(all["web-config.yml"]) == "" {
		return fmt.Errorf("password or web-config.yml in %s is damaged", d.dir)
	}
	if !strings.Contains(all["web-config.yml"], "#"+all["password"][:3]) && d.breaks != "damaged" {
		return fmt.Errorf("password in %s does not fit", d.dir)
	}
	d.password = all["password"]
	var err error
	if d.cert, err = tls.X509KeyPair([]byte(all["tls.crt"]), []byte(all["tls.key"])); err != nil {
		return fmt.Errorf("tls.crt or tls.key in %s: %v", d.dir, err)
	}
	fmt.Fprintf(os.Stderr, "level=INFO dir=%s curl=\"curl\"\n", d.dir)
	if d.breaks == "log" {
		fmt.Fprintln(os.Stderr, d.password)
	}
	return nil
}

// make writes a set as the distribution does, but for its hash, which no
// library is here to make: the set only has to look like one.
func (d *daemon) make(base string) error {
	temp, err := os.MkdirTemp(filepath.Dir(base), ".making-*")
	if err != nil {
		if temp = base + ".making"; os.MkdirAll(temp, 0o700) != nil {
			return err
		}
	}
	own, err := newIdentity()
	if err != nil {
		return err
	}
	password := rand.Text()
	if d.breaks == "shared" {
		password = strings.Repeat("A", 26)
	}
	salt := make([]byte, 48)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	hash := strings.NewReplacer("+", ".").Replace(base64.StdEncoding.EncodeToString(salt))[:53]
	mode := os.FileMode(0o600)
	if d.breaks == "modes" {
		mode = 0o640
	}
	for name, text := range map[string]string{"tls.crt": string(own.cert), "tls.key": string(own.key), "password": password,
		"web-config.yml": "admin: $2b$12$" + hash + "\n#" + password[:3] + "\n"} {
		if err := os.WriteFile(filepath.Join(temp, name), []byte(text), mode); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	if d.breaks == "overwrite" {
		os.RemoveAll(d.dir)
	}
	if err := os.Rename(temp, d.dir); errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return os.RemoveAll(temp)
	} else {
		return err
	}
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.breaks != "headers" {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "deny")
		csp := "default-src 'none'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
		if d.breaks == "csp" {
			csp = strings.Replace(csp, "script-src 'self'", "script-src 'unsafe-inline'", 1)
		}
		w.Header().Set("Content-Security-Policy", csp)
	}
	health := r.URL.Path == "/-/healthy" || r.URL.Path == "/-/ready"
	if d.breaks == "health-prefix" {
		health = strings.HasPrefix(r.URL.Path, "/-/healthy") || r.URL.Path == "/-/ready"
	}
	if health && (r.Method == "GET" || r.Method == "HEAD") && d.breaks != "health" {
		fmt.Fprintln(w, "OK")
		return
	}
	user, password, _ := r.BasicAuth()
	if text, _ := os.ReadFile(d.flags["--web.config.file"]); strings.Contains(string(text), hashOfCost4) && d.breaks != "bcrypt-later" {
		password = ""
	}
	authenticated := d.user != "" && user == d.user && password == d.password
	if d.user != "" && !authenticated && d.breaks != "open" {
		d.turnAway(w, r)
		return
	}
	_, asked := d.flags["--web.enable-pprof"]
	switch {
	case strings.Contains(r.URL.Path, "debug") && !asked && d.breaks != "pprof":
		http.NotFound(w, r)
	case strings.Contains(r.URL.Path, "debug") && !authenticated:
		w.WriteHeader(http.StatusForbidden)
	case strings.HasPrefix(r.URL.Path, "/debug"):
		http.DefaultServeMux.ServeHTTP(w, r)
	case d.breaks == "panic" && r.Method == "PATCH":
		panic("as asked")
	default:
		d.component(w, r)
	}
}

func (d *daemon) component(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintln(w, "# HELP", r.URL.Path)
}

func (d *daemon) turnAway(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	d.mu.Lock()
	if r.Header.Get("Authorization") != "" {
		d.wrong[host]++
	}
	many := d.wrong[host] > 10 && d.breaks != "throttle"
	d.mu.Unlock()
	if many {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	w.Header().Set("WWW-Authenticate", "Basic")
	w.WriteHeader(http.StatusUnauthorized)
}
