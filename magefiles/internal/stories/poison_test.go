package stories

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// poison has the registry for images change one bit of every blob of more than so
// many bytes that it sends, and say nothing of that; ! poison ends it.
func poison(ts *testscript.TestScript, neg bool, args []string) {
	larger := -1
	if !neg {
		var err error
		larger, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.poisoned = larger
}

// images is the registry for images, poisoned or not.
func (w *world) images(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		larger := w.poisoned
		w.mu.Unlock()
		if larger < 0 || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			inner.ServeHTTP(rw, r)
			return
		}
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		body := bytes.Clone(answer.Body.Bytes())
		if len(body) > larger {
			body[len(body)/2] ^= 1
		}
		for name, values := range answer.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answer.Code)
		_, _ = rw.Write(body)
	})
}
