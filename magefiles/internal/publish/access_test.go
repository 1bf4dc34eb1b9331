package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"palisade/attestations/artifact"
	"palisade/attestations/verify/registry"
)

// A gate lets in by tokens that it gives for a password, each good until there
// were so many requests more, as most registries of the world do.
type gate struct {
	good    int
	mu      sync.Mutex
	seen    int         // requests
	tokens  map[int]int // the last request that each is good for
	scopes  []string    // that tokens were asked for
	refused int         // requests that send something, for a token that has expired
}

const secret = "open sesame"

func (g *gate) check(w http.ResponseWriter, q *http.Request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen++
	if q.URL.Path == "/token" {
		if _, password, _ := q.BasicAuth(); password != secret {
			return answer(w, http.StatusUnauthorized, "UNAUTHORIZED")
		}
		if g.tokens == nil {
			g.tokens = map[int]int{}
		}
		g.tokens[g.seen], g.scopes = g.seen+g.good, append(g.scopes, q.URL.Query()["scope"]...)
		fmt.Fprintf(w, `{"token":"token-%d"}`, g.seen)
		return true
	}
	var token int
	_, _ = fmt.Sscanf(q.Header.Get("Authorization"), "Bearer token-%d", &token)
	if g.seen <= g.tokens[token] {
		return false
	}
	if q.ContentLength > 0 {
		_, _ = io.Copy(io.Discard, q.Body)
		g.refused++
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="palisade"`, q.Host))
	return answer(w, http.StatusUnauthorized, "UNAUTHORIZED")
}

type password string

func (p password) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig{Username: "ali", Password: string(p)}), nil
}

// Tokens that expire on the way are had anew, also where something was being
// sent; and nobody is told a password.
func TestTokens(t *testing.T) {
	r := newRelease(t, "binary")
	refused := 0
	for good := 25; good <= 35; good++ {
		s, g := newServer(t, true), &gate{good: good}
		s.spoil(g.check)
		o := s.options()
		o.Keychain = password(secret)
		if _, err := Publish(context.Background(), o, r.dir); err != nil {
			t.Errorf("tokens for %d requests: %v", good, err)
		}
		for _, scope := range g.scopes {
			if scope != "repository:palisade/beacon:push,pull" {
				t.Errorf("a token for %q", scope)
			}
		}
		refused += g.refused
	}
	if refused == 0 {
		t.Error("no token expired while something was sent: this test looks at nothing")
	}
	for _, wrong := range []string{"", "wrong password"} {
		s, g := newServer(t, true), &gate{good: 1000}
		s.spoil(g.check)
		o := s.options()
		o.Keychain = password(wrong)
		_, err := Publish(context.Background(), o, r.dir)
		if !errors.Is(err, registry.ErrDenied) || wrong != "" && strings.Contains(err.Error(), wrong) {
			t.Errorf("%v, want %v", err, registry.ErrDenied)
		}
	}
}

// An address that a registry sends one to may let in whoever has it.
func TestNoSecretInErrors(t *testing.T) {
	r := newRelease(t, "binary")
	for name, breaks := range map[string]func(http.ResponseWriter, *http.Request) bool{"broken": hangUp, "refused": says(400, "UNKNOWN")} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, true)
			begin := at("POST", "/uploads/", 1, 0, says(http.StatusAccepted, "", "Location", "/v2/palisade/beacon/blobs/uploads/1?_state=hunter2"))
			sent := at("PATCH", "/uploads/", 1, 0, breaks)
			s.spoil(func(w http.ResponseWriter, q *http.Request) bool { return begin(w, q) || sent(w, q) })
			if _, err := Publish(context.Background(), s.options(), r.dir); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "uploads/1") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Whoever knows how long a blob is, and stops there, has it whole only if it is
// the right one.
func TestHeld(t *testing.T) {
	data := []byte(strings.Repeat("blob", 100))
	for _, tt := range []struct {
		want []byte
		good bool
	}{{data, true}, {append([]byte("x"), data[1:]...), false}} {
		for _, buffer := range []int{1, 7, len(data), 2 * len(data)} {
			h := &held{in: bytes.NewReader(data), want: artifact.DigestBytes(tt.want), left: int64(len(data)), sum: newHash()}
			var got bytes.Buffer
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, io.LimitReader(h, int64(len(data))), make([]byte, buffer))
			if whole := bytes.Equal(got.Bytes(), data); whole != tt.good || (err == nil) != tt.good || err != nil && !errors.Is(err, ErrMismatch) {
				t.Errorf("%d at a time: whole: %t, %v; want %t", buffer, whole, err, tt.good)
			}
		}
	}
}
