package registry_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/verify"
	"palisade/attestations/verify/registry"
)

// Three hosts, each with TLS: a registry, who gives out tokens for it, and
// somebody else.
const (
	tokenRegistry = "registry.example.com"
	tokenServer   = "auth.example.com"
	stranger      = "other.example.com"

	user, password, token = "ali", "open-sesame", "a-token"
)

// A town is these hosts, and what each was sent as Authorization.
type town struct {
	realm    string // where the registry sends people for tokens
	handlers map[string]http.HandlerFunc
	client   *http.Transport

	mu   sync.Mutex
	sent map[string][]string // by host
	gave int                 // tokens
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{realm: "https://" + tokenServer + "/token", handlers: map[string]http.HandlerFunc{}, sent: map[string][]string{}}
	behind := filled(t)
	w.handlers[tokenRegistry] = func(rw http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != fmt.Sprintf("Bearer %s-%d", token, w.given()) {
			challenge(rw, w.realm)
			return
		}
		behind.ServeHTTP(rw, q)
	}
	w.handlers[tokenServer] = func(rw http.ResponseWriter, q *http.Request) {
		if u, p, ok := q.BasicAuth(); ok && (u != user || p != password) {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.give(rw)
	}
	w.handlers[stranger] = func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, layerText) }
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		w.mu.Lock()
		w.sent[q.Host] = append(w.sent[q.Host], q.Header.Get("Authorization"))
		w.mu.Unlock()
		w.handlers[q.Host](rw, q)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	w.client = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port != "443" || w.handlers[host] == nil {
			return nil, fmt.Errorf("%s was dialled, where nobody may be asked", address)
		}
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func challenge(w http.ResponseWriter, realm string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="palisade",scope="repository:beacon:pull"`, realm))
	w.WriteHeader(http.StatusUnauthorized)
}

func (w *town) given() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gave
}

// give gives out a token, which is the only one that still counts.
func (w *town) give(rw http.ResponseWriter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gave++
	_, _ = fmt.Fprintf(rw, `{"token":"%s-%d"}`, token, w.gave)
}

const layerText = "content of a layer"

// filled is go-containerregistry's registry with an index, v1, and a blob.
func filled(t *testing.T) http.Handler {
	t.Helper()
	h := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	for _, q := range []*http.Request{
		httptest.NewRequest(http.MethodPut, "/v2/beacon/manifests/v1", strings.NewReader(index)),
		httptest.NewRequest(http.MethodPost, "/v2/beacon/blobs/uploads/?digest="+digestOf(layerText).String(), bytes.NewReader([]byte(layerText))),
	} {
		q.Header.Set("Content-Type", ocilayout.IndexType)
		answer := httptest.NewRecorder()
		if h.ServeHTTP(answer, q); answer.Code != http.StatusCreated {
			t.Fatalf("%s: %d %s", q.URL, answer.Code, answer.Body)
		}
	}
	return h
}

// knows knows the credentials for the registry alone.
type knows struct{ password string }

func (k knows) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if k.password == "" || r.RegistryStr() != tokenRegistry {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: user, Password: k.password}, nil
}

// read reads the index and the blob.
func (w *town) read(t *testing.T, password string) error {
	t.Helper()
	o := registry.Options{Keychain: knows{password}, Transport: w.client}
	i, err := registry.Open(t.Context(), tokenRegistry+"/beacon:v1", o)
	if err != nil {
		return err
	}
	d, err := i.Resolve(t.Context())
	if err == nil && d != digestOf(index) {
		err = fmt.Errorf("the index is %s", d)
	}
	if err != nil {
		return err
	}
	if all, err := i.Bundles(t.Context(), d); err != nil || len(all) > 0 {
		return fmt.Errorf("%d bundles: %w", len(all), err)
	}
	body, err := i.Blob(t.Context(), ocilayout.Descriptor{MediaType: ocilayout.LayerType, Digest: digestOf(layerText), Size: int64(len(layerText))})
	if err != nil {
		return err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err == nil && artifact.DigestBytes(data) != digestOf(layerText) {
		err = fmt.Errorf("the blob is %q", data)
	}
	return err
}

// Where a registry wants tokens, credentials go to who gives them out, by the
// rules that the package's documentation names; the token goes to the registry;
// and nobody else gets either.
func TestTokens(t *testing.T) {
	elsewhere := func(host, path string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://"+host+path)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	}
	blobs := func(w *town, answer http.HandlerFunc) {
		before := w.handlers[tokenRegistry]
		w.handlers[tokenRegistry] = func(rw http.ResponseWriter, q *http.Request) {
			if strings.Contains(q.URL.Path, "/blobs/") {
				answer(rw, q)
				return
			}
			before(rw, q)
		}
	}
	for _, tt := range []struct {
		name     string
		before   func(*town)
		password string // "" for no credentials
		fails    bool
		want     error
		says     string
		asked    []string // hosts, beside the registry
	}{
		{name: "to who is in the challenge", password: password, asked: []string{tokenServer}},
		{name: "anonymously", asked: []string{tokenServer}},
		{name: "from the registry itself", password: password, before: func(w *town) {
			w.realm = "https://" + tokenRegistry + "/token"
			registry := w.handlers[tokenRegistry]
			w.handlers[tokenRegistry] = func(rw http.ResponseWriter, q *http.Request) {
				if q.URL.Path == "/token" {
					w.handlers[tokenServer](rw, q)
					return
				}
				registry(rw, q)
			}
		}},
		{name: "another's password", password: "wrong", fails: true, want: registry.ErrDenied, says: "docker login", asked: []string{tokenServer}},
		{name: "a token that lasts for one answer", password: password, asked: []string{tokenServer}, before: func(w *town) {
			registry := w.handlers[tokenRegistry]
			w.handlers[tokenRegistry] = func(rw http.ResponseWriter, q *http.Request) {
				registry(rw, q)
				w.mu.Lock()
				w.gave++ // what was given counts no more
				w.mu.Unlock()
			}
		}},
		{name: "a token that never counts", password: password, fails: true, want: registry.ErrDenied, asked: []string{tokenServer}, before: func(w *town) {
			w.handlers[tokenRegistry] = func(rw http.ResponseWriter, _ *http.Request) { challenge(rw, w.realm) }
		}},
		{name: "a token of many bytes", password: password, fails: true, asked: []string{tokenServer}, before: func(w *town) {
			w.handlers[tokenServer] = func(rw http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(rw, `{"token":"%s"}`, strings.Repeat("a", 1<<20))
			}
		}},
		{name: "no token", password: password, fails: true, asked: []string{tokenServer}, before: func(w *town) {
			w.handlers[tokenServer] = func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, `{}`) }
		}},

		{name: "in the clear", password: password, fails: true, says: "use https", before: func(w *town) { w.realm = "http://" + tokenServer + "/token" }},
		{name: "to this machine", password: password, fails: true, says: "private or link-local", before: func(w *town) { w.realm = "https://127.0.0.1/token" }},
		{name: "to this machine, otherwise", password: password, fails: true, says: "private or link-local", before: func(w *town) { w.realm = "https://127.1/token" }},
		{name: "to a neighbour", password: password, fails: true, says: "private or link-local", before: func(w *town) { w.realm = "https://10.1.2.3/token" }},
		{name: "to a cloud's metadata", password: password, fails: true, says: "private or link-local", before: func(w *town) { w.realm = "https://169.254.169.254/token" }},
		{name: "to a file", password: password, fails: true, says: "must be https", before: func(w *town) { w.realm = "file:///etc/passwd" }},
		{name: "to nobody", password: password, fails: true, says: "realm", before: func(w *town) { w.realm = "" }},

		{name: "redirected to somebody else", password: password, asked: []string{tokenServer, stranger}, before: func(w *town) {
			w.handlers[tokenServer] = elsewhere(stranger, "/token")
			w.handlers[stranger] = func(rw http.ResponseWriter, _ *http.Request) { w.give(rw) }
		}},
		{name: "redirected to this machine", password: password, fails: true, asked: []string{tokenServer}, before: func(w *town) {
			w.handlers[tokenServer] = elsewhere("localhost", "/token")
		}},
		{name: "asked how it wants to be spoken to, it sends inside", password: password, fails: true, want: registry.ErrAnswer, before: func(w *town) {
			w.handlers[tokenRegistry] = elsewhere("localhost", "/v2/")
		}},
		{name: "blobs elsewhere", password: password, asked: []string{tokenServer, stranger}, before: func(w *town) { blobs(w, elsewhere(stranger, "/blob")) }},
		{name: "blobs elsewhere, where a password is enough", password: password, asked: []string{stranger}, before: func(w *town) {
			w.realm = "https://" + tokenRegistry
			behind := w.handlers[tokenRegistry]
			w.handlers[tokenRegistry] = func(rw http.ResponseWriter, q *http.Request) {
				if u, p, _ := q.BasicAuth(); u != user || p != password {
					fails(401, "WWW-Authenticate", `Basic realm="palisade"`)(rw, q)
					return
				}
				q.Header.Set("Authorization", fmt.Sprintf("Bearer %s-0", token))
				behind(rw, q)
			}
			blobs(w, elsewhere(stranger, "/blob"))
		}},
		{name: "blobs elsewhere, for a token", password: password, asked: []string{tokenServer, stranger}, before: func(w *town) {
			blobs(w, elsewhere(stranger, "/blob"))
			w.handlers[stranger] = func(rw http.ResponseWriter, q *http.Request) {
				switch {
				case q.URL.Path == "/token":
					_, _ = io.WriteString(rw, `{"token":"the-stranger's"}`)
				case q.Header.Get("Authorization") == "Bearer the-stranger's":
					_, _ = io.WriteString(rw, layerText)
				default:
					challenge(rw, "https://"+stranger+"/token")
				}
			}
		}},
		{name: "blobs elsewhere, for a password", password: password, fails: true, want: registry.ErrDenied, asked: []string{tokenServer, stranger}, before: func(w *town) {
			blobs(w, elsewhere(stranger, "/blob"))
			w.handlers[stranger] = fails(401, "WWW-Authenticate", `Basic realm="palisade"`)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTown(t)
			if tt.before != nil {
				tt.before(w)
			}
			err := w.read(t, tt.password)
			if (err != nil) != tt.fails || tt.want != nil && !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, want %v that says %q", err, tt.want, tt.says)
			}
			if err != nil && (strings.Contains(err.Error(), password) || strings.Contains(err.Error(), token+"-")) {
				t.Errorf("the error holds a secret: %v", err)
			}
			if errors.Is(tt.want, registry.ErrDenied) != errors.Is(err, verify.ErrUnreachable) {
				t.Errorf("whether it tells something of an image: %v", err)
			}
			w.keeps(t, append(tt.asked, tokenRegistry))
		})
	}
}

// keeps holds what each host was sent against what it may be sent.
func (w *town) keeps(t *testing.T, asked []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	giver := strings.TrimSuffix(strings.TrimPrefix(w.realm, "https://"), "/token")
	for host, all := range w.sent {
		if !slices.Contains(asked, host) {
			t.Errorf("%s was asked", host)
		}
		for _, sent := range all {
			kind, secret, _ := strings.Cut(sent, " ")
			ours := kind == "Bearer" && strings.HasPrefix(secret, token)
			switch {
			case kind == "Basic" && host != giver, ours && host != tokenRegistry:
				t.Errorf("%s was sent %s", host, kind)
			}
		}
	}
	for _, host := range asked {
		if len(w.sent[host]) == 0 {
			t.Errorf("%s was not asked", host)
		}
	}
	if anybody := slices.Contains(w.sent[tokenServer], ""); slices.Contains(asked, tokenServer) && anybody != !slices.ContainsFunc(w.sent[tokenServer], func(s string) bool { return strings.HasPrefix(s, "Basic ") }) {
		t.Errorf("%s was sent %q", tokenServer, w.sent[tokenServer])
	}
}

// What a token is asked for is what it is needed for.
func TestTokenScope(t *testing.T) {
	for _, write := range []bool{false, true} {
		w := newTown(t)
		var scope []string
		give := w.handlers[tokenServer]
		w.handlers[tokenServer] = func(rw http.ResponseWriter, q *http.Request) {
			scope = q.URL.Query()["scope"]
			give(rw, q)
		}
		if _, err := registry.Connect(t.Context(), tokenRegistry+"/beacon", registry.Options{Keychain: knows{password}, Transport: w.client, Write: write}); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "repository:beacon:pull", true: "repository:beacon:push,pull"}[write]
		if !slices.Equal(scope, []string{want}) {
			t.Errorf("a token for %q, want %q", scope, want)
		}
	}
}
