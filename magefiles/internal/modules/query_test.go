package modules

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/mod/module"

	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/store"
)

const tower = "example.org/tower"

// asking is a client of a proxy that has some versions of one module.
func asking(t *testing.T, versions ...string) (*Client, *proxytest.Proxy) {
	t.Helper()
	p := proxytest.New(t)
	for _, v := range versions {
		p.Add(t, tower, v, map[string]string{"go.mod": "module example.org/tower\n\ngo 1.24.0\n// " + v + "\n"})
	}
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Go: proxytest.Go(t), Env: p.Env(), Store: s, CPUs: 2}, p
}

func TestList(t *testing.T) {
	c, p := asking(t, "v1.0.0", "v1.1.0-rc.1", "v1.2.0")
	p.Hide(tower, "v1.0.0")
	p.RefuseList(t, "example.org/shut")
	p.Answer("/example.org/broken/@v/list", http.StatusInternalServerError, "on fire\n")
	all, err := c.List(t.Context(), tower, "example.org/shut", "example.org/none", "example.org/broken")
	if err != nil {
		t.Fatal(err)
	}
	if l := all[0]; !slices.Equal(l.Versions, []string{"v1.1.0-rc.1", "v1.2.0"}) || l.Refused != "" || l.Err != nil {
		t.Errorf("got %+v", l)
	}
	for i, want := range map[int]string{1: "403 Forbidden", 2: "404 Not Found"} {
		if l := all[i]; !strings.HasSuffix(l.Refused, want) || l.Versions != nil || l.Err != nil {
			t.Errorf("got %+v, want %s", l, want)
		}
	}
	if l := all[3]; !errors.Is(l.Err, ErrFetch) || l.Refused != "" || !strings.Contains(l.Err.Error(), "500 Internal Server Error") {
		t.Errorf("got %+v", l)
	}
	if _, err := c.List(t.Context(), "-x"); err == nil {
		t.Error("a flag is taken for a module")
	}
}

func TestListTooLong(t *testing.T) {
	c, p := asking(t)
	var long strings.Builder
	for range maxVersions + 1 {
		long.WriteString("v1.2.3\n")
	}
	p.Answer("/example.org/tower/@v/list", http.StatusOK, long.String())
	all, err := c.List(t.Context(), tower)
	if err != nil || !errors.Is(all[0].Err, ErrFetch) || len(all[0].Versions) > 0 {
		t.Errorf("got %v, %d versions, %v", err, len(all[0].Versions), all[0].Err)
	}
	p.Answer("/example.org/tower/@v/list", http.StatusOK, strings.Repeat("v1.2.3-"+strings.Repeat("x", 9000)+"\n", maxAnswer/9000+9))
	if _, err := c.List(t.Context(), tower); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

// Each version that does not count says why, and what could not be asked is an
// error: nobody takes the one for the other.
func TestLook(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	c, p := asking(t, "v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0", "v1.4.0", "v1.8.0")
	p.Origin(t, tower, "v1.1.0", commit)
	p.Origin(t, tower, "v1.2.0", "main")
	p.Answer("/example.org/tower/@v/v1.3.0.mod", http.StatusNotFound, "")
	p.Answer("/example.org/tower/@v/v1.4.0.mod", http.StatusInternalServerError, "")
	p.Serve(t, tower, "v1.5.0", map[string]string{"go.mod": "module example.org/tower\n"}) // the database does not know it
	p.Serve(t, tower, "v1.0.0", map[string]string{"go.mod": "module example.org/tower\n\ngo 1.99\n"})
	p.Answer("/example.org/tower/@v/v1.6.0.info", http.StatusBadGateway, "")
	p.Answer("/example.org/tower/@v/v1.8.0.info", http.StatusOK, `{"Version":"v1.9.0"}`)
	var mods []module.Version
	for _, v := range []string{"v1.7.0", "v1.6.0", "v1.5.0", "v1.4.0", "v1.3.0", "v1.2.0", "v1.1.0", "v1.0.0", "v1.8.0"} {
		mods = append(mods, module.Version{Path: tower, Version: v})
	}
	all, err := c.Look(t.Context(), mods...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ refused, unconfirmed, err, commit string }{
		{refused: "404 Not Found"},
		{err: "502 Bad Gateway"},
		{unconfirmed: "verifying go.mod"},
		{err: "500 Internal Server Error"},
		{unconfirmed: "404 Not Found"},
		{},
		{commit: commit},
		{unconfirmed: "checksum mismatch"},
		{err: "v1.8.0"},
	} {
		s := all[i]
		holds := func(got, want string) bool { return (got == "") == (want == "") && strings.Contains(got, want) }
		said := ""
		if s.Err != nil {
			said = s.Err.Error()
		}
		if !holds(s.Refused, want.refused) || !holds(s.Unconfirmed, want.unconfirmed) || !holds(said, want.err) || s.Commit != want.commit {
			t.Errorf("%s: got %+v, want %+v", mods[i], s, want)
		}
		if counts := want.refused+want.unconfirmed+want.err == ""; (s.GoMod != nil) != counts {
			t.Errorf("%s: got %q", mods[i], s.GoMod)
		} else if counts && (!s.Released.Equal(proxytest.Added) || !strings.Contains(string(s.GoMod), mods[i].Version)) {
			t.Errorf("%s: got %+v", mods[i], s)
		}
	}
}

// What is in the module cache is seen without the proxy, and is no answer of it.
func TestAnswers(t *testing.T) {
	c, p := asking(t, "v1.0.0")
	m := module.Version{Path: tower, Version: "v1.0.0"}
	if err := c.Answers(t.Context(), m); err != nil {
		t.Error(err)
	}
	if _, err := c.Look(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]string{http.StatusForbidden: "403 Forbidden", http.StatusNotFound: "404 Not Found", http.StatusBadGateway: "502 Bad Gateway"} {
		p.Answer("/*", status, "")
		if err := c.Answers(t.Context(), m); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if seen, err := c.Look(t.Context(), m); err != nil || seen[0].GoMod == nil {
			t.Errorf("it is not in the cache: %+v, %v", seen, err)
		}
	}
	p.Stop()
	if err := c.Answers(t.Context(), m); !errors.Is(err, ErrFetch) {
		t.Errorf("got %v", err)
	}
	if err := c.Answers(t.Context(), module.Version{Path: "-x", Version: "v1.0.0"}); err == nil {
		t.Error("a flag is taken for a module")
	}
}

func TestLookLargeGoMod(t *testing.T) {
	c, p := asking(t)
	p.Add(t, tower, "v1.0.0", map[string]string{"go.mod": "module example.org/tower\n//" + strings.Repeat(" large", maxGoMod/6) + "\n"})
	all, err := c.Look(t.Context(), module.Version{Path: tower, Version: "v1.0.0"})
	if err != nil || all[0].GoMod != nil || !errors.Is(all[0].Err, ErrFetch) || !strings.Contains(all[0].Err.Error(), "larger than") {
		t.Errorf("got %v, %+v", err, all)
	}
}

// Without a network nothing is known, which is not that there is nothing.
func TestAskOffline(t *testing.T) {
	c, p := asking(t, "v1.0.0")
	p.Stop()
	all, err := c.List(t.Context(), tower)
	if err != nil || !errors.Is(all[0].Err, ErrFetch) || all[0].Refused != "" {
		t.Errorf("got %v, %+v", err, all)
	}
	seen, err := c.Look(t.Context(), module.Version{Path: tower, Version: "v1.0.0"})
	if err != nil || !errors.Is(seen[0].Err, ErrFetch) || seen[0].Refused != "" {
		t.Errorf("got %v, %+v", err, seen)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := c.List(ctx, tower); !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyProxies(t *testing.T) {
	for _, tt := range []struct{ set, want string }{
		{"https://a,direct", "https://a"},
		{"https://a|https://b,direct", "https://a|https://b"},
		{"direct|https://a", "https://a"},
		{" https://a , https://b ", "https://a,https://b"},
		{"https://a,off,https://b", "https://a"},
		{"direct", ""},
		{"off,https://a", ""},
		{"", ""},
	} {
		env, err := onlyProxies([]string{"GOPROXY=https://other", "GOPROXY=" + tt.set})
		if tt.want == "" {
			if !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "names no module proxy") {
				t.Errorf("%q: got %q, %v", tt.set, env, err)
			}
		} else if err != nil || env[len(env)-1] != "GOPROXY="+tt.want {
			t.Errorf("%q: got %q, %v", tt.set, env, err)
		}
	}
}

// What a proxy says is told on one short line, whatever it is.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"Path":"a","Error":{"Err":"reading x: 404 Not Found\n\tserver response: none"}}`))
	f.Add([]byte(`{"Path":"a","Error":"verifying go.mod: SECURITY ERROR"}`))
	f.Add([]byte(`{"Path":"a","Error":[1],"Versions":["v1"],"Time":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a answer
		if json.Unmarshal(data, &a) != nil {
			return
		}
		said := reason(a.said())
		if strings.Contains(said, "\n") || len(said) > maxReason+3*maxReason || !utf8.ValidString(said) {
			t.Errorf("told as %q", said)
		}
		s := Sight{}
		s.doubt(a.said())
		if (s.Err == nil) == (s.Unconfirmed == "") {
			t.Errorf("%q is neither known nor unknown: %+v", said, s)
		}
	})
}
