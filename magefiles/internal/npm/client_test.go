package npm

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"palisade/attestations/artifact"
)

func pack(name, version, content string) artifact.Package {
	sum := sha512.Sum512([]byte(content))
	return artifact.Package{Name: name, Version: version, Integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
}

// registry serves content under each path, and counts what it is asked.
func registry(t *testing.T, content map[string]string) (c *Client, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, ok := content[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return &Client{Registry: srv.URL + "/", Dir: filepath.Join(t.TempDir(), "npm"), HTTP: srv.Client(), wait: time.Nanosecond}, asked
}

// held is the names in the client's directory, with nothing but which a failed
// download must leave it.
func held(t *testing.T, c *Client) []string {
	t.Helper()
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFetchStoresOnce(t *testing.T) {
	p := pack("@scope/name", "1.2.3-rc.1+b", "the tarball")
	c, asked := registry(t, map[string]string{"/@scope/name/-/name-1.2.3-rc.1+b.tgz": "the tarball"})
	first, err := c.Fetch(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	c.Offline = true
	again, err := c.Fetch(t.Context(), p)
	if err != nil || again != first || asked.Load() != 1 {
		t.Fatalf("second use: %q, %v after %d requests; first was %q", again, err, asked.Load(), first)
	}
	if data, err := os.ReadFile(first); err != nil || string(data) != "the tarball" {
		t.Fatalf("stored %q, %v", data, err)
	}
}

func TestFetchRefusesOtherBytes(t *testing.T) {
	good := pack("name", "1.0.0", "the tarball")
	for name, serves := range map[string]string{
		"one bit":   "the tarbalm",
		"cut short": "the tarbal",
		"longer":    "the tarball\n",
		"empty":     "",
	} {
		t.Run(name, func(t *testing.T) {
			c, asked := registry(t, map[string]string{"/name/-/name-1.0.0.tgz": serves})
			_, err := c.Fetch(t.Context(), good)
			if !errors.Is(err, ErrIntegrity) || !strings.Contains(err.Error(), "name@1.0.0") {
				t.Errorf("error %v, want ErrIntegrity that names the package", err)
			}
			if asked.Load() != 1 {
				t.Errorf("asked %d times: other bytes are no passing fault", asked.Load())
			}
			if left := held(t, c); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

func TestFetchTruncatedInTransit(t *testing.T) {
	p := pack("name", "1.0.0", "the tarball")
	breaks := int64(attempts) // how many connections break
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "11")
		if asked.Add(1) <= breaks {
			w.Write([]byte("the "))
			return // the server closes the connection: seven bytes are owed
		}
		w.Write([]byte("the tarball"))
	}))
	defer srv.Close()
	c := &Client{Registry: srv.URL, Dir: t.TempDir(), wait: time.Nanosecond}
	if _, err := c.Fetch(t.Context(), p); err == nil || !strings.Contains(err.Error(), "after 4 bytes") {
		t.Fatalf("error %v, want one that says how far it came", err)
	}
	if left := held(t, c); len(left) > 0 || asked.Load() != attempts {
		t.Fatalf("left %q after %d attempts", left, asked.Load())
	}
	asked.Store(breaks - 1)
	if _, err := c.Fetch(t.Context(), p); err != nil {
		t.Fatalf("a transfer that broke once: %v", err)
	}
}

func TestFetchTamperedInStore(t *testing.T) {
	p := pack("name", "1.0.0", "the tarball")
	c, asked := registry(t, map[string]string{"/name/-/name-1.0.0.tgz": "the tarball"})
	file, err := c.Fetch(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("the tarbalm"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = c.Fetch(t.Context(), p)
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("error %v, want ErrCorrupt", err)
	}
	for _, says := range []string{"name@1.0.0", file, "delete"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("error %q does not say %q", err, says)
		}
	}
	if asked.Load() != 1 {
		t.Error("it was downloaded anew without a word")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), p); err != nil {
		t.Errorf("after what the error told to do: %v", err)
	}
}

func TestFetchOffline(t *testing.T) {
	c, asked := registry(t, map[string]string{"/name/-/name-1.0.0.tgz": "the tarball"})
	c.Offline = true
	_, err := c.Fetch(t.Context(), pack("name", "1.0.0", "the tarball"))
	if !errors.Is(err, ErrOffline) || asked.Load() != 0 {
		t.Fatalf("error %v after %d requests, want ErrOffline after none", err, asked.Load())
	}
}

func TestFetchRefusesMalformed(t *testing.T) {
	good := pack("name", "1.0.0", "x")
	sha1 := "sha1-" + base64.StdEncoding.EncodeToString(make([]byte, 20))
	for _, p := range []artifact.Package{
		{Name: "", Version: good.Version, Integrity: good.Integrity},
		{Name: "../name", Version: good.Version, Integrity: good.Integrity},
		{Name: "@scope/../name", Version: good.Version, Integrity: good.Integrity},
		{Name: "..", Version: good.Version, Integrity: good.Integrity},
		{Name: "a/b", Version: good.Version, Integrity: good.Integrity},
		{Name: "name?x", Version: good.Version, Integrity: good.Integrity},
		{Name: strings.Repeat("n", 215), Version: good.Version, Integrity: good.Integrity},
		{Name: "name", Version: "1", Integrity: good.Integrity},
		{Name: "name", Version: "latest", Integrity: good.Integrity},
		{Name: "name", Version: "1.0.0/../../x", Integrity: good.Integrity},
		{Name: "name", Version: "file:1.0.0", Integrity: good.Integrity},
		{Name: "name", Version: "1.0.0", Integrity: ""},
		{Name: "name", Version: "1.0.0", Integrity: sha1},
		{Name: "name", Version: "1.0.0", Integrity: good.Integrity + " " + good.Integrity},
		{Name: "name", Version: "1.0.0", Integrity: good.Integrity[:40]},
		{Name: "name", Version: "1.0.0", Integrity: good.Integrity + "?opt"},
	} {
		c, asked := registry(t, nil)
		if _, err := c.Fetch(t.Context(), p); !errors.Is(err, ErrPackage) || asked.Load() > 0 {
			t.Errorf("%+v: error %v after %d requests, want ErrPackage after none", p, err, asked.Load())
		}
	}
}

func TestFetchAll(t *testing.T) {
	content := map[string]string{}
	var packages []artifact.Package
	for _, n := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		packages = append(packages, pack(n, "1.0.0", "tarball of "+n))
		content["/"+n+"/-/"+n+"-1.0.0.tgz"] = "tarball of " + n
	}
	c, _ := registry(t, content)
	paths, err := c.FetchAll(t.Context(), packages)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range packages {
		if data, err := os.ReadFile(paths[i]); err != nil || string(data) != "tarball of "+p.Name {
			t.Errorf("%s: %q, %v", p.Name, data, err)
		}
	}
	delete(content, "/q/-/q-1.0.0.tgz")
	c.Dir = t.TempDir()
	if paths, err := c.FetchAll(t.Context(), packages); err == nil || paths != nil || !strings.Contains(err.Error(), "q@1.0.0") {
		t.Errorf("with one missing: %d paths, %v; want an error that names it", len(paths), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Dir = t.TempDir()
	if _, err := c.FetchAll(ctx, packages); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFetchStatus(t *testing.T) {
	for status, want := range map[int]int64{http.StatusNotFound: 1, http.StatusForbidden: 1, http.StatusBadGateway: attempts} {
		var asked atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.WriteHeader(status)
		}))
		c := &Client{Registry: srv.URL, Dir: t.TempDir(), wait: time.Nanosecond}
		if _, err := c.Fetch(t.Context(), pack("name", "1.0.0", "x")); err == nil || asked.Load() != want {
			t.Errorf("status %d: %v after %d requests, want an error after %d", status, err, asked.Load(), want)
		}
		srv.Close()
	}
}
