package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
)

// A server answers as it is told to: by method and what follows the
// repository's name.
type server struct {
	address string
	mu      sync.Mutex
	answers map[string]func(http.ResponseWriter, *http.Request)
	asked   []string
	paused  []time.Duration
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{answers: map[string]func(http.ResponseWriter, *http.Request){}}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/v2/" && s.answers["ping"] == nil {
			return
		}
		what, ok := strings.CutPrefix(q.URL.Path, "/v2/beacon/")
		if !ok {
			what = "ping"
		}
		s.mu.Lock()
		s.asked = append(s.asked, what)
		answer := s.answers[what]
		s.mu.Unlock()
		if answer == nil {
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
			return
		}
		answer(w, q)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(h.Close)
	s.address = strings.TrimPrefix(h.URL, "http://")
	return s
}

func (s *server) options() registry.Options {
	return registry.Options{Pause: func(ctx context.Context, d time.Duration) error {
		s.paused = append(s.paused, d)
		return ctx.Err()
	}}
}

func (s *server) connect(t testing.TB) *registry.Repository {
	t.Helper()
	r, err := registry.Connect(context.Background(), s.address+"/beacon", s.options())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// says answers with that, of a media type, and more headers.
func says(mediaType, body string, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, body)
	}
}

func fails(code int, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// first answers n times with one, and then with the other.
func first(n int, one, other func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
	var mu sync.Mutex
	return func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		n--
		answer := other
		if n >= 0 {
			answer = one
		}
		mu.Unlock()
		answer(w, q)
	}
}

func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", ocilayout.IndexType)
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"schemaVersion":2`)
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const index = `{"schemaVersion":2,"mediaType":"` + ocilayout.IndexType + `","manifests":[]}`

func digestOf(text string) artifact.Digest { return artifact.DigestBytes([]byte(text)) }

func TestManifest(t *testing.T) {
	good := says(ocilayout.IndexType, index)
	second := 200 * time.Millisecond
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		want   error
		says   string
		paused []time.Duration
	}{
		{"good", good, nil, "", nil},
		{"with a parameter", says(ocilayout.IndexType+"; charset=utf-8", index), nil, "", nil},
		{"not there", fails(404), registry.ErrNotFound, "", nil},
		{"who are you", fails(401), registry.ErrDenied, "docker login", nil},
		{"not you", fails(403), registry.ErrDenied, "ask whoever runs it", nil},
		{"busy once", first(1, fails(429, "Retry-After", "3"), good), nil, "", []time.Duration{3 * time.Second}},
		{"busy by the clock", first(1, fails(503, "Date", "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After", "Sun, 06 Nov 1994 08:49:47 GMT"), good), nil, "", []time.Duration{10 * time.Second}},
		{"busy, nonsense", first(1, fails(503, "Retry-After", "soon"), good), nil, "", []time.Duration{second}},
		{"busy for days", fails(429, "Retry-After", "99999"), registry.ErrUnavailable, "left alone", nil},
		{"busy for ages", fails(429, "Retry-After", "99999999999999999999"), registry.ErrUnavailable, "tried 5 times", []time.Duration{second, 2 * second, 4 * second, 8 * second}},
		{"down", fails(500), registry.ErrUnavailable, "tried 5 times", []time.Duration{second, 2 * second, 4 * second, 8 * second}},
		{"cut once", first(1, cut, good), nil, "", []time.Duration{second}},
		{"always cut", cut, registry.ErrUnavailable, "", []time.Duration{second, 2 * second, 4 * second, 8 * second}},
		{"hangs up once", first(2, hangUp, good), nil, "", nil},
		{"a teapot", fails(418), registry.ErrAnswer, "", nil},
		{"another digest than it says", says(ocilayout.IndexType, index, "Docker-Content-Digest", digestOf("x").String()), registry.ErrDigest, "", nil},
		{"docker's", says("application/vnd.docker.distribution.manifest.list.v2+json", `{}`), registry.ErrMediaType, "docker", nil},
		{"a page", says("text/html", `<html>`), registry.ErrMediaType, "", nil},
		{"two types", says(ocilayout.ManifestType, index), registry.ErrMediaType, "", nil},
		{"no JSON", says(ocilayout.IndexType, "{"), registry.ErrAnswer, "", nil},
		{"huge", says(ocilayout.IndexType, strings.Repeat(" ", ocilayout.MaxDocument+1)), registry.ErrTooLarge, "", nil},
		{"huge, it says", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999999999")
			w.Header().Set("Content-Type", ocilayout.IndexType)
			w.WriteHeader(200)
		}, registry.ErrTooLarge, "", nil},
		{"a long story", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(418)
			_, _ = io.WriteString(w, strings.Repeat("\x1b[31mno\n", 5000))
		}, registry.ErrAnswer, "", nil},
		{"elsewhere", fails(307, "Location", "http://10.1.2.3/x"), registry.ErrAnswer, "10.1.2.3", nil},
		{"to this machine, by a name", fails(307, "Location", "https://x.localhost./x"), registry.ErrAnswer, "x.localhost", nil},
		{"a long way", fails(307, "Location", "https://10.1.2.3/"+strings.Repeat("x", 5000)), registry.ErrAnswer, "", nil},
		{"another algorithm than it is asked by", says(ocilayout.IndexType, index, "Docker-Content-Digest", "sha512:"+strings.Repeat("0", 128)), nil, "", nil}, // it says nothing
		{"in a circle", fails(307, "Location", "/v2/beacon/manifests/latest"), nil, "five times", nil},
		{"in the clear, elsewhere", fails(307, "Location", "http://plain.example/x"), registry.ErrPlaintext, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			s.answers["manifests/latest"] = tt.answer
			r := s.connect(t)
			m, err := r.Manifest(context.Background(), "latest")
			if tt.want == nil && tt.says == "" {
				if err != nil || m.Digest != digestOf(index) || m.MediaType != ocilayout.IndexType {
					t.Fatalf("%+v, %v", m, err)
				}
			} else if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want %v that says %q", err, tt.want, tt.says)
			}
			if err != nil && (len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\x1b\n")) {
				t.Errorf("the error repeats what the registry says: %.2000q", err)
			}
			if tt.paused != nil && !slices.Equal(s.paused, tt.paused) {
				t.Errorf("waited %v, want %v", s.paused, tt.paused)
			}
			lost := []error{registry.ErrNotFound, registry.ErrDenied, registry.ErrUnavailable, registry.ErrPlaintext}
			if told := slices.ContainsFunc(lost, func(e error) bool { return errors.Is(err, e) }); told != errors.Is(err, verify.ErrUnreachable) {
				t.Errorf("unreachable: %t, of %v", !told, err)
			}
		})
	}
}

// By a digest nothing is read that has not that digest.
func TestDigest(t *testing.T) {
	s := newServer(t)
	s.answers["manifests/"+digestOf("other").String()] = says(ocilayout.IndexType, index)
	s.answers["manifests/"+digestOf(index).String()] = says(ocilayout.IndexType, index)
	s.answers["blobs/"+digestOf("content").String()] = says("application/octet-stream", "content")
	r := s.connect(t)
	blob := func(mediaType, of string, size int64) error {
		in, err := r.Blob(context.Background(), ocilayout.Descriptor{MediaType: mediaType, Digest: digestOf(of), Size: size})
		if err == nil {
			err = in.Close()
		}
		return err
	}
	for _, tt := range []struct {
		mediaType, of string
		size          int64
		want          error
	}{
		{ocilayout.IndexType, index, -1, nil},
		{ocilayout.IndexType, "other", -1, registry.ErrDigest},
		{ocilayout.ManifestType, index, -1, registry.ErrMediaType},
		{ocilayout.IndexType, "none", -1, ocilayout.ErrMissing},
		{ocilayout.LayerType, "content", 7, nil},
		{ocilayout.LayerType, "content", 8, registry.ErrDigest},
		{ocilayout.LayerType, "none", 4, ocilayout.ErrMissing},
	} {
		if err := blob(tt.mediaType, tt.of, tt.size); !errors.Is(err, tt.want) || errors.Is(err, verify.ErrUnreachable) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// A connection that breaks in the middle tells nothing of what was to come.
func TestBroken(t *testing.T) {
	s := newServer(t)
	s.answers["blobs/"+digestOf("content").String()] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "7")
		_, _ = io.WriteString(w, "cont")
	}
	in, err := s.connect(t).Blob(context.Background(), ocilayout.Descriptor{MediaType: ocilayout.LayerType, Digest: digestOf("content"), Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if data, err := io.ReadAll(in); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("%q, %v", data, err)
	}
}

// Nobody is there, or somebody whom nobody vouches for.
func TestUnconnected(t *testing.T) {
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer closed.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := newServer(t)
	for _, u := range []string{closed.URL, gone.URL} {
		_, host, _ := strings.Cut(u, "//")
		if _, err := registry.Connect(context.Background(), host+"/beacon", s.options()); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// A tag is resolved when it is asked for; what follows is read by digest.
func TestTagMoves(t *testing.T) {
	s := newServer(t)
	s.answers["manifests/v1"] = first(1, says(ocilayout.IndexType, index), says(ocilayout.IndexType, index+" "))
	s.answers["manifests/"+digestOf(index).String()] = says(ocilayout.IndexType, index)
	i, err := registry.Open(context.Background(), s.address+"/beacon:v1", s.options())
	if err != nil {
		t.Fatal(err)
	}
	d, err := i.Resolve(context.Background())
	if err != nil || d != digestOf(index) {
		t.Fatalf("%s, %v", d, err)
	}
	_, err = ocilayout.Read(context.Background(), ocilayout.Descriptor{MediaType: ocilayout.IndexType, Digest: d, Size: -1}, i, ocilayout.Visitor{})
	if !errors.Is(err, ocilayout.ErrLayout) { // it is empty
		t.Error(err)
	}
	if slices.Index(s.asked, "manifests/v1") != 0 || slices.Contains(s.asked[1:], "manifests/v1") {
		t.Errorf("asked for %q", s.asked)
	}
}

func TestReferences(t *testing.T) {
	s := newServer(t)
	for reference, want := range map[string]error{
		s.address + "/beacon:v1":                                 nil,
		s.address + "/beacon@" + digestOf("x").String():          nil,
		s.address + "/beacon:v1@" + digestOf("x").String():       nil,
		s.address + "/beacon":                                    registry.ErrReference,
		"beacon:v1":                                              registry.ErrReference,
		s.address + "/beacon@sha512:" + strings.Repeat("0", 128): registry.ErrReference,
		"https://" + s.address + "/beacon:v1":                    registry.ErrReference,
		"":                                                       registry.ErrReference,
		s.address + "/Beacon:v1":                                 registry.ErrReference,
		"10.255.255.1/beacon:v1":                                 registry.ErrPlaintext,
		fmt.Sprintf("%s/beacon:%s", s.address, strings.Repeat("a", 200)): registry.ErrReference,
	} {
		o := s.options()
		if want == registry.ErrPlaintext {
			o.Transport = onlyPlain{}
		}
		if _, err := registry.Open(context.Background(), reference, o); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", reference, err, want)
		}
	}
}

// A URL is no name, though it reads like one on a host called "https:".
func TestParseName(t *testing.T) {
	for repository, want := range map[string]error{
		"registry.example/cache":         nil,
		"localhost:5000/a/b":             nil,
		"https://registry.example/cache": registry.ErrReference,
		"registry.example//cache":        registry.ErrReference,
		"registry.example/cache:v1":      registry.ErrReference,
		"cache":                          registry.ErrReference,
		"":                               registry.ErrReference,
	} {
		if _, err := registry.ParseName(repository); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", repository, err, want)
		}
	}
}

// onlyPlain is a network in which nobody has TLS.
type onlyPlain struct{}

func (onlyPlain) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme == "https" {
		return nil, errors.New("no TLS here")
	}
	return nil, errors.New("it was sent in the clear")
}

// Credentials come out of docker's configuration, or from the program that it
// names.
func TestCredentials(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		want         error
	}{
		{"none", `{}`, registry.ErrDenied},
		{"in the file", `{"auths":{"ADDRESS":{"auth":"YWxpOm9wZW4gc2VzYW1l"}}}`, nil},
		{"others in the file", `{"auths":{"ADDRESS":{"auth":"YWxpOng="}}}`, registry.ErrDenied},
		{"from a helper", `{"credHelpers":{"ADDRESS":"palisadetest"}}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := newServer(t), t.TempDir()
			s.answers["ping"] = fails(401, "WWW-Authenticate", `Basic realm="palisade"`)
			s.answers["manifests/v1"] = func(w http.ResponseWriter, q *http.Request) {
				if user, password, _ := q.BasicAuth(); user != "ali" || password != "open sesame" {
					fails(401, "WWW-Authenticate", `Basic realm="palisade"`)(w, q)
					return
				}
				says(ocilayout.IndexType, index)(w, q)
			}
			for name, text := range map[string]string{
				"config.json":                    strings.ReplaceAll(tt.config, "ADDRESS", s.address),
				"docker-credential-palisadetest": "#!/bin/sh\necho '{\"Username\":\"ali\",\"Secret\":\"open sesame\"}'\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("HOME", dir)
			t.Setenv("DOCKER_CONFIG", dir)
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			o := s.options()
			o.Keychain = authn.DefaultKeychain
			i, err := registry.Open(context.Background(), s.address+"/beacon:v1", o)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := i.Resolve(context.Background()); !errors.Is(err, tt.want) || err == nil && d != digestOf(index) {
				t.Errorf("%s, %v, want %v", d, err, tt.want)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	s := newServer(t)
	s.answers["manifests/v1"] = fails(503)
	r := s.connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Manifest(ctx, "v1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
