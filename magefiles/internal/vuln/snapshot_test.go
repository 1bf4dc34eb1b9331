package vuln

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/unpack"
)

var asked = []string{"stdlib", "example.org/lamp", "example.org/beacon"}

// serve serves a database as the official one is, every file compressed. before
// may answer in its place.
func serve(t testing.TB, dir string, before func(http.ResponseWriter, *http.Request) bool) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before != nil && before(w, r) {
			return
		}
		data, err := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(r.URL.Path, ".gz")))
		if err != nil || !strings.HasSuffix(r.URL.Path, ".json.gz") {
			http.NotFound(w, r)
			return
		}
		w.Write(zipped(t, data))
	}))
	t.Cleanup(s.Close)
	return s
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A directory and an address give the same snapshot: the entries of what is asked
// for, as they are, and no others.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	source := unpackTxtar(t, "database.txtar", filepath.Join(dir, "db"))
	server := serve(t, source, nil)
	var digests []string
	for n, from := range []string{source, "file://" + source, server.URL, server.URL + "/"} {
		to := filepath.Join(dir, fmt.Sprint(n))
		db, err := Snapshot(t.Context(), from, server.Client(), append(asked, "example.org/unheard", "stdlib"), to)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		digests = append(digests, db.Digest.String())
		if db.Dir != to || len(db.Modules) != 4 || !db.Modified.Equal(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v", from, db)
		}
		got := files(t, to)
		if len(got) != 3+9 || got["ID/GO-2026-9099.json"] != "" || !strings.Contains(got["ID/GO-2026-9001.json"], "Lamp.Light") {
			t.Errorf("%s: there are %d files", from, len(got))
		}
		if again, err := OpenSnapshot(t.Context(), to); err != nil || again.Digest != db.Digest {
			t.Errorf("opened: %s, %v", again.Digest, err)
		}
		if _, err := Snapshot(t.Context(), to, nil, asked, filepath.Join(dir, "of-"+fmt.Sprint(n))); err != nil {
			t.Errorf("a snapshot of a snapshot: %v", err)
		}
	}
	if slices.Sort(digests); len(slices.Compact(digests)) != 1 {
		t.Errorf("digests %q", digests)
	}
	if _, err := Snapshot(t.Context(), source, nil, asked, filepath.Join(dir, "0")); err == nil {
		t.Error("a snapshot was written over another")
	}
}

// Nothing of a database is believed that it says in two ways, or at which somebody
// on the way could have written.
func TestSnapshotRefuses(t *testing.T) {
	const index, one, db = "index/modules.json", "ID/GO-2026-9001.json", "index/db.json"
	entry := func(old, new string) [3]string { return [3]string{one, old, new} }
	for _, tt := range []struct {
		name string
		edit [3]string
	}{
		{"no time", [3]string{db, `"modified":"2026-11-20T10:00:00Z"`, ``}},
		{"a key twice", [3]string{db, `{`, `{"modified":"2026-11-21T10:00:00Z",`}},
		{"older than its entries", [3]string{db, `2026-11-20`, `2026-10-20`}},
		{"an index of nothing", [3]string{index, `[`, `[] [`}},
		{"an id that is a path", [3]string{index, `GO-2026-9001`, `../../../x`}},
		{"an id that is an address", [3]string{index, `GO-2026-9001`, `GO-2026-9001?x=`}},
		{"an id twice", [3]string{index, `GO-2026-9002`, `GO-2026-9001`}},
		{"a module twice", [3]string{index, `example.org/elsewhere`, `example.org/lamp`}},
		{"an index that is older", [3]string{index, `"GO-2026-9001","modified":"2026-11-01`, `"GO-2026-9001","modified":"2026-10-01`}},
		{"an entry of another id", entry(`"id":"GO-2026-9001"`, `"id":"GO-2026-9002"`)},
		{"an entry of another module", entry(`"name":"example.org/lamp"`, `"name":"example.org/light"`)},
		{"a key of an entry twice", entry(`"details":"x"`, `"details":"x","withdrawn":"2026-11-01T00:00:00Z","withdrawn":null`)},
		{"an alias that is none", entry(`CVE-2026-90010`, `CVE-2026-90010\n`)},
		{"half an entry", entry(`]}}]}`, ``)},
		{"something behind an entry", entry(`]}}]}`, `]}}]} {}`)},
		{"a deep entry", entry(`"details":"x"`, `"details":`+strings.Repeat(`[`, 100)+strings.Repeat(`]`, 100))},
		{"a large entry", entry(`"details":"x"`, `"details":"`+strings.Repeat("x", 5<<20)+`"`)},
		{"a long entry", entry(`"details":"x"`, `"details":[`+strings.Repeat("1,", 30_000)+`1]`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			source := unpackTxtar(t, "database.txtar", filepath.Join(dir, "db"), tt.edit)
			for _, from := range []string{source, serve(t, source, nil).URL} {
				to := filepath.Join(dir, "snapshot")
				if db, err := Snapshot(t.Context(), from, http.DefaultClient, asked, to); !errors.Is(err, ErrDatabase) {
					t.Errorf("%s: %+v, %v", from, db, err)
				}
				if left, err := filepath.Glob(filepath.Join(dir, "*snap*")); err != nil || len(left) > 0 {
					t.Errorf("%s: it left %q, %v", from, left, err)
				}
			}
		})
	}
	source := unpackTxtar(t, "database.txtar", t.TempDir())
	put(t, filepath.Join(source, "index/modules.json"), "[]")
	if _, err := Snapshot(t.Context(), source, nil, asked, filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrDatabase) {
		t.Errorf("a database that knows nothing: %v", err)
	}
	for _, from := range []string{"http://vuln.example.org", "https://user:secret@vuln.example.org", "https://vuln.example.org?x=y", "ftp://localhost", "https://", "file://relative"} {
		if _, err := Snapshot(t.Context(), from, http.DefaultClient, asked, filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrDatabase) {
			t.Errorf("%s: %v", from, err)
		}
	}
	source = unpackTxtar(t, "database.txtar", t.TempDir())
	for _, modules := range [][]string{nil, {""}, {"../x"}} {
		if _, err := Snapshot(t.Context(), source, nil, modules, filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrSnapshot) {
			t.Errorf("of %q: %v", modules, err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside.json")
	put(t, outside, "{}")
	if err := errors.Join(os.Remove(filepath.Join(source, "index/db.json")), os.Symlink(outside, filepath.Join(source, "index/db.json"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Snapshot(t.Context(), source, nil, asked, filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("a link out of the database was followed")
	}
}

// What a web server may do instead of answering.
func TestSnapshotOverHTTP(t *testing.T) {
	source := unpackTxtar(t, "database.txtar", t.TempDir())
	changes := 0
	for _, tt := range []struct {
		name   string
		before func(w http.ResponseWriter, r *http.Request) bool
		want   error
	}{
		{"a bomb", func(w http.ResponseWriter, r *http.Request) bool {
			w.Write(zipped(t, make([]byte, 64<<20)))
			return true
		}, ErrDatabase},
		{"a bomb in the index", func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "modules") {
				return false
			}
			w.Write(zipped(t, make([]byte, 256<<20)))
			return true
		}, unpack.ErrTooLarge},
		{"two streams", func(w http.ResponseWriter, r *http.Request) bool {
			w.Write(zipped(t, []byte(`{"modified":"2026-11-20T10:00:00Z"}`)))
			w.Write(zipped(t, []byte(` `)))
			return true
		}, ErrDatabase},
		{"not compressed", func(w http.ResponseWriter, r *http.Request) bool {
			w.Write([]byte(`{"modified":"2026-11-20T10:00:00Z"}`))
			return true
		}, ErrDatabase},
		{"an error", func(w http.ResponseWriter, r *http.Request) bool { http.Error(w, "x", 500); return true }, ErrDatabase},
		{"nothing", func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(http.StatusNoContent); return true }, ErrDatabase},
		{"somebody on the way", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://vuln.example.org/", http.StatusFound)
			return true
		}, ErrDatabase},
		{"round and round", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, nil},
		{"a change meanwhile", func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "index/db") {
				return false
			}
			changes++
			w.Write(zipped(t, []byte(fmt.Sprintf(`{"modified":"2026-11-20T1%d:00:00Z"}`, changes))))
			return true
		}, ErrDatabase},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := serve(t, source, tt.before)
			_, err := Snapshot(t.Context(), server.URL, server.Client(), asked, filepath.Join(t.TempDir(), "x"))
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	server := serve(t, source, func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	client := *server.Client()
	client.Timeout = 50 * time.Millisecond
	if _, err := Snapshot(t.Context(), server.URL, &client, asked, filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("a server that never answers was waited for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, from := range []string{server.URL, source} {
		if _, err := Snapshot(ctx, from, server.Client(), asked, filepath.Join(t.TempDir(), "x")); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
	}
}

// What is read of a database is well-formed, or it is refused.
func FuzzEntry(f *testing.F) {
	dir := unpackTxtar(f, "database.txtar", f.TempDir())
	for _, name := range []string{"ID/GO-2026-9001.json", "ID/GO-2026-9006.json", "index/modules.json", "index/db.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	as := listedEntry{ID: "GO-2026-9001", Modified: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := readEntry(data, "example.org/lamp", as, state{Modified: now}); err == nil && e.ID != as.ID {
			t.Errorf("%+v", e)
		} else if err != nil && !errors.Is(err, ErrDatabase) {
			t.Error(err)
		}
		ours, _, err := readIndex(data, asked)
		if err != nil && !errors.Is(err, ErrDatabase) {
			t.Error(err)
		}
		for _, m := range ours {
			for _, v := range m.Vulns {
				if strings.ContainsAny(entryName(v.ID)[3:], "/\\\x00?#%") {
					t.Errorf("an entry is called %q", v.ID)
				}
			}
		}
	})
}
