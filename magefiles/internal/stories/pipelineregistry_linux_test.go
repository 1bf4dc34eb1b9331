package stories

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// A publicRegistry is one for images and releases that everybody can read and one
// user can write to, as that of a CI is.
type publicRegistry struct {
	address string
	inner   http.Handler

	mu      sync.Mutex
	written int      // requests that wrote
	half    int      // from that one on it is out of order, if it is not 0
	tag     bool     // one was put
	denied  []string // who wrote with a token that is not for that
}

const (
	registryUser     = "octocat"
	registryPassword = "of-this-job-alone"
)

func newRegistry(t *testing.T) *publicRegistry {
	t.Helper()
	r := &publicRegistry{inner: registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))}
	s := httptest.NewServer(r)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	r.address = s.Listener.Addr().String()
	return r
}

func (r *publicRegistry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path == "/token" {
		user, password, ok := q.BasicAuth()
		token := "reads"
		if ok {
			if user != registryUser || password != registryPassword {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			token = "writes"
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
		return
	}
	bearer := strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")
	reads := q.Method == http.MethodGet || q.Method == http.MethodHead
	if bearer != "writes" && (bearer != "reads" || !reads) {
		if !reads && bearer == "reads" {
			r.mu.Lock()
			r.denied = append(r.denied, q.Method+" "+q.URL.Path)
			r.mu.Unlock()
		}
		scope := "pull"
		if !reads {
			scope = "pull,push"
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="registry",scope="repository:any:%s"`, r.address, scope))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		return
	}
	if !reads {
		r.mu.Lock()
		r.written++
		broken := r.half > 0 && r.written >= r.half
		r.mu.Unlock()
		if broken {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"quota exceeded"}]}`)
			return
		}
	}
	r.inner.ServeHTTP(w, q)
	if _, reference, ok := strings.Cut(q.URL.Path, "/manifests/"); ok && q.Method == http.MethodPut && !strings.HasPrefix(reference, "sha256") {
		r.mu.Lock()
		r.tag = true
		r.mu.Unlock()
	}
}

// refused are those who wrote without leave, though they were asked who they are.
func (r *publicRegistry) refused() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}

// tagged reports whether a tag was put.
func (r *publicRegistry) tagged() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tag
}

// writes is how many requests wrote so far.
func (r *publicRegistry) writes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// fail has it refuse everything after n more requests that write; 0 mends it.
func (r *publicRegistry) fail(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.half = 0
	if n > 0 {
		r.half = r.written + n
	}
}

// tags is what can be found there: the digest of every tag.
func (r *publicRegistry) tags(t *testing.T) map[string]string {
	t.Helper()
	get := func(path string, into any) http.Header {
		answer := httptest.NewRecorder()
		q := httptest.NewRequest(http.MethodGet, path, nil)
		q.Header.Set("Accept", "*/*")
		r.inner.ServeHTTP(answer, q)
		if answer.Code != http.StatusOK {
			t.Fatalf("the registry answers %s with %d: %s", path, answer.Code, answer.Body)
		}
		if into != nil {
			if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
				t.Fatal(err)
			}
		}
		return answer.Header()
	}
	var catalog struct{ Repositories []string }
	get("/v2/_catalog", &catalog)
	all := map[string]string{}
	for _, name := range catalog.Repositories {
		var list struct{ Tags []string }
		get("/v2/"+name+"/tags/list", &list)
		for _, tag := range list.Tags {
			if !strings.HasPrefix(tag, "sha256") { // what lies beside an image, where the registry knows no referrers
				all[name+":"+tag] = get("/v2/"+name+"/manifests/"+tag, nil).Get("Docker-Content-Digest")
			}
		}
	}
	return all
}

// newAdvisories serves a vulnerability database that changed an hour ago, and
// returns its address. Of the modules of the components one is named in it, for what
// no component calls.
func newAdvisories(t *testing.T) string {
	t.Helper()
	modified := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	files := map[string]string{
		"/index/db.json":      fmt.Sprintf(`{"modified":%q}`, modified),
		"/index/modules.json": fmt.Sprintf(`[{"path":"github.com/prometheus/common","vulns":[{"id":"GO-2026-9001","modified":%q}]}]`, modified),
		"/ID/GO-2026-9001.json": fmt.Sprintf(`{"schema_version":"1.3.1","id":"GO-2026-9001","modified":%q,"published":%[1]q,"aliases":["CVE-2026-90001"],`+
			`"summary":"What nobody calls can be had to do more","details":"It is never called.","affected":[{"package":{"name":"github.com/prometheus/common","ecosystem":"Go"},`+
			`"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],"ecosystem_specific":{"imports":[{"path":"github.com/prometheus/common/never","symbols":["Called"]}]}}],`+
			`"database_specific":{"url":"https://pkg.go.dev/vuln/GO-2026-9001","review_status":"REVIEWED"}}`, modified),
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		text, ok := files[strings.TrimSuffix(q.URL.Path, ".gz")]
		if !ok || !strings.HasSuffix(q.URL.Path, ".gz") {
			http.NotFound(w, q)
			return
		}
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
	}))
	t.Cleanup(s.Close)
	return s.URL
}
