package update

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
	"palisade/magefiles/internal/store"
)

var golden = flag.Bool("update", false, "write what was seen into the golden files")

const bell = "example.org/bell"

var host = artifact.Platform{OS: "linux", Arch: "amd64"}

// A world is a client and what it can ask.
type world struct {
	*Client
	*proxytest.Proxy
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	p := proxytest.New(t)
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &world{&Client{&modules.Client{Go: proxytest.Go(t), Env: p.Env(), Store: s, CPUs: 2}}, p, t}
}

// add gives the proxy versions of a module, whose go.mod ends with tail.
func (w *world) add(path, tail string, versions ...string) {
	w.t.Helper()
	for _, v := range versions {
		w.Add(w.t, path, v, map[string]string{"go.mod": "module " + path + "\n\ngo 1.24.0\n" + tail})
	}
}

// say is a Found in a few words.
func say(f Found, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", f.How)
	for _, v := range f.Newer {
		fmt.Fprintf(&b, " %s", v.Version)
	}
	if f.Next != nil {
		fmt.Fprintf(&b, "; next %s %s", f.Next.Path, f.Next.Version)
	}
	if f.Retracted != nil {
		fmt.Fprintf(&b, "; retracted (%s)", f.Retracted.Why)
	}
	if f.Deprecated != "" {
		fmt.Fprintf(&b, "; deprecated (%s)", f.Deprecated)
	}
	for _, r := range f.Withdrawn {
		fmt.Fprintf(&b, "; withdrawn %s (%s)", r.Version, r.Why)
	}
	for _, r := range f.Unconfirmed {
		fmt.Fprintf(&b, "; unconfirmed %s", r.Version)
	}
	return b.String()
}

func TestModule(t *testing.T) {
	for _, tt := range []struct {
		name, current string
		world         func(w *world)
		want          string // or a part of it, after a "~"
	}{
		{"nothing newer", "v1.2.0", func(w *world) { w.add(bell, "", "v1.1.0", "v1.2.0") }, "listed:"},
		{"a list out of order", "v1.2.0", func(w *world) { w.add(bell, "", "v1.10.0", "v1.2.0", "v1.9.0", "v1.2.1") }, "listed: v1.2.1 v1.9.0 v1.10.0"},
		{"no pre-releases", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.1-rc.1", "v1.3.0-0.20260102030405-0123456789ab", "v1.2.1")
		}, "listed: v1.2.1"},
		{"pre-releases of the same release", "v1.3.0-rc.1", func(w *world) { w.add(bell, "", "v1.3.0-rc.0", "v1.3.0-rc.1", "v1.3.0-rc.2", "v1.3.0", "v1.3.1-rc.1") }, "listed: v1.3.0-rc.2 v1.3.0"},
		{"a pseudo-version is of no release", "v1.2.1-0.20260102030405-0123456789ab", func(w *world) {
			w.add(bell, "", "v1.2.1-0.20260102030405-0123456789ab", "v1.2.1-rc.1", "v1.2.1")
		}, "listed: v1.2.1"},
		{"no version without a go.mod's major version", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.Answer("/example.org/bell/@v/list", http.StatusOK, "v1.2.0\nv2.0.0+incompatible\nv1.3.0+meta\nv2.0.0\nv1.3\nnone\nv01.3.0\n")
		}, "listed:"},
		{"a gap at what is pinned", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.1.0", "v1.2.0", "v1.2.1", "v1.3.0", "v1.9.0")
			w.Hide(bell, "v1.2.0")
			w.Hide(bell, "v1.2.1")
		}, "listed, probed: v1.2.1 v1.3.0 v1.9.0"},
		{"probed", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.1", "v1.2.4", "v1.4.2", "v1.6.1", "v1.9.0")
			w.RefuseList(w.t, bell)
		}, "probed: v1.2.1 v1.2.4 v1.4.2 v1.6.1"},
		{"probed too far", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.4", "v1.5.0", "v1.3.3")
			w.RefuseList(w.t, bell)
		}, "probed:"},
		{"probed before the first major version", "v0.2.0", func(w *world) {
			w.add(bell, "", "v0.2.0", "v0.2.1", "v1.0.0")
			w.RefuseList(w.t, bell)
		}, "probed: v0.2.1 v1.0.0"},
		{"probed from a pre-release", "v1.2.0-rc.1", func(w *world) {
			w.add(bell, "", "v1.2.0-rc.1", "v1.2.0")
			w.RefuseList(w.t, bell)
		}, "probed: v1.2.0"},
		{"the next major version, listed", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.add(bell+"/v2", "", "v2.0.0-rc.1", "v2.0.0", "v2.1.0", "v2.2.0-rc.1")
		}, "listed:; next example.org/bell/v2 v2.1.0"},
		{"a list of the next major version that names others", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.add(bell+"/v2", "", "v2.0.0")
			w.Answer("/example.org/bell/v2/@v/list", http.StatusOK, "v1.9.0\nv2.0.0\nv3.0.0\nv2.1.0+incompatible\n")
		}, "listed:; next example.org/bell/v2 v2.0.0"},
		{"the next major version, probed", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.add(bell+"/v2", "", "v2.0.0", "v2.1.0")
			w.RefuseList(w.t, bell+"/v2")
		}, "listed:; next example.org/bell/v2 v2.0.0"},
		{"no next major version but a pre-release", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.add(bell+"/v2", "", "v2.0.0-rc.1")
		}, "listed:"},
		{"retracted by a later version", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.3.0")
			w.add(bell, "// Rings at night.\nretract [v1.2.0, v1.3.0]\n\nretract v1.4.1 // By mistake.\n", "v1.4.0", "v1.4.1")
		}, "listed: v1.4.0; retracted (Rings at night.); withdrawn v1.3.0 (Rings at night.); withdrawn v1.4.1 (By mistake.)"},
		{"retracted without a reason", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.add(bell, "retract v1.2.0\n", "v1.2.1")
		}, "listed: v1.2.1; retracted (upstream gives no reason)"},
		{"a retraction that was taken back", "v1.2.0", func(w *world) {
			w.add(bell, "retract v1.2.0\n", "v1.2.0", "v1.2.1")
			w.add(bell, "", "v1.2.2")
		}, "listed: v1.2.1 v1.2.2"},
		{"words that move the cursor", "v1.2.0", func(w *world) {
			w.add(bell, "// \x1b[2Jno\u202e\tway\nretract v1.2.0\n", "v1.2.0")
		}, "listed:; retracted ([2Jno way)"},
		{"deprecated", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.Add(w.t, bell, "v1.2.1", map[string]string{"go.mod": "// Deprecated: ring by hand.\nmodule " + bell + "\n"})
		}, "listed: v1.2.1; deprecated (ring by hand.)"},
		{"unknown to the checksum database", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.1")
			w.Serve(w.t, bell, "v1.3.0", map[string]string{"go.mod": "module " + bell + "\n"})
		}, "listed: v1.2.1; unconfirmed v1.3.0"},
		{"other than the checksum database knows", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.1")
			w.Serve(w.t, bell, "v1.2.1", map[string]string{"go.mod": "module " + bell + "\n\nretract v1.2.0\n"})
		}, "listed:; unconfirmed v1.2.1"},
		{"probed and unknown to the checksum database", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.2")
			w.Serve(w.t, bell, "v1.2.1", map[string]string{"go.mod": "module " + bell + "\n"})
			w.RefuseList(w.t, bell)
		}, "probed: v1.2.2; unconfirmed v1.2.1"},
		{"listed and not to be had", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.1")
			w.Answer("/example.org/bell/@v/v1.2.1.info", http.StatusForbidden, "")
		}, "listed:; unconfirmed v1.2.1"},
		{"refused by the offer", "v1.2.0", func(w *world) { w.add(bell, "", "v1.2.0", "v1.8.2", "v1.3.0") }, "listed: v1.3.0"},
		{"what is pinned is gone, but newer is there", "v1.2.0", func(w *world) { w.add(bell, "", "v1.2.1") }, "listed, probed: v1.2.1"},
		{"all is gone", "v1.2.0", func(w *world) {}, "~asking the module proxy whether it gives example.org/bell@v1.2.0, which there is: "},
		{"all that is listed is gone", "v1.2.0", func(w *world) { w.Answer("/example.org/bell/@v/list", http.StatusOK, "v1.2.0\nv1.3.0\n") }, "~neither v1.2.0 nor a newer version is to be had"},
		{"the list fails", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.Answer("/example.org/bell/@v/list", http.StatusInternalServerError, "")
		}, "~500 Internal Server Error"},
		{"a version fails", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0", "v1.2.1")
			w.Answer("/example.org/bell/@v/v1.2.1.mod", http.StatusBadGateway, "")
		}, "~502 Bad Gateway"},
		{"a probe fails", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.RefuseList(w.t, bell)
			w.Answer("/example.org/bell/@v/v1.3.1.info", http.StatusBadGateway, "")
		}, "~502 Bad Gateway"},
		{"the next major version fails", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.Answer("/example.org/bell/v2/@v/list", http.StatusBadGateway, "")
		}, "~502 Bad Gateway"},
		{"a go.mod that is none", "v1.2.0", func(w *world) {
			w.add(bell, "", "v1.2.0")
			w.add(bell, "go 1.25.0\n", "v1.2.1")
		}, "~reading go.mod"},
		{"offline", "v1.2.0", func(w *world) { w.Stop() }, "~connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.t = t
			tt.world(w)
			f, err := w.Module(t.Context(), bell, tt.current, func(v string) bool { return v != "v1.8.2" })
			got := say(f, err)
			if want, part := strings.CutPrefix(tt.want, "~"); part && (!errors.Is(err, ErrUnknown) || !strings.Contains(got, want)) || !part && got != want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A proxy that has whatever it is asked for is not followed for ever.
func TestEndlessProxy(t *testing.T) {
	w := newWorld(t)
	w.RefuseList(t, bell)
	for i := range maxPatch + 2*misses {
		w.add(bell, "", fmt.Sprintf("v1.2.%d", i))
	}
	_, err := w.Module(t.Context(), bell, "v1.2.0", nil)
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "has whatever it is asked for") {
		t.Errorf("got %v", err)
	}
}

// Of very many versions the newest are told, and how many are not.
func TestManyVersions(t *testing.T) {
	w := newWorld(t)
	for i := range MaxNewer + 4 {
		w.add(bell, "", fmt.Sprintf("v1.2.%d", i))
	}
	f, err := w.Module(t.Context(), bell, "v1.2.0", nil)
	if v, _ := f.Newest(); err != nil || len(f.Newer) != MaxNewer || f.LeftOut != 3 || v.Version != "v1.2.27" || v.Go != "1.24.0" || !v.Released.Equal(proxytest.Added) {
		t.Errorf("got %v, %+v", err, f)
	}
	// One that is named is asked for, though it is not among them.
	f, err = w.Module(t.Context(), bell, "v1.2.0", nil, "v1.2.1", "v1.9.9")
	if err != nil || f.Newer[0].Version != "v1.2.1" || len(f.Unconfirmed) != 1 {
		t.Errorf("got %v, %+v", err, f)
	}
}

func TestLinked(t *testing.T) {
	w := newWorld(t)
	w.add(bell, "", "v1.2.0", "v1.2.1", "v1.3.0")
	w.add("example.org/rope", "", "v0.1.0")
	w.add("example.org/shut", "", "v0.1.0", "v0.1.1")
	w.RefuseList(t, "example.org/shut")
	w.Answer("/example.org/broken/@v/list", http.StatusBadGateway, "")
	found, errs, err := w.Linked(t.Context(), []module.Version{{Path: bell, Version: "v1.2.0"}, {Path: "example.org/broken", Version: "v1.0.0"}, {Path: "example.org/rope", Version: "v0.1.0"}, {Path: "example.org/shut", Version: "v0.1.0"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"listed: v1.2.1 v1.3.0", "~502", "listed:", "probed: v0.1.1"} {
		got := say(found[i], errs[i])
		if part, is := strings.CutPrefix(want, "~"); is && !strings.Contains(got, part) || !is && got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !errors.Is(errs[1], ErrUnknown) || found[1].How != "" {
		t.Errorf("got %+v, %v", found[1], errs[1])
	}
}

func TestGo(t *testing.T) {
	name := func(version string) string { return "v0.0.1-go" + version + ".linux-amd64" }
	for _, tt := range []struct {
		name, current string
		versions      []string
		world         func(w *world)
		want          string
	}{
		{"listed", "1.26.8", []string{"1.26.7", "1.26.8", "1.26.11", "1.26.9", "1.27rc1", "1.27.0", "1.27.4", "1.28rc2"}, nil, "listed: 1.26.9 1.26.11; next go 1.27.4"},
		{"up to date", "1.26.8", []string{"1.25.9", "1.26.8"}, nil, "listed:"},
		{"a gap", "1.26.8", []string{"1.26.8", "1.26.9", "1.27.1"}, func(w *world) { w.Hide(toolchains, name("1.26.8")) }, "listed, probed: 1.26.9; next go 1.27.1"},
		{"probed", "1.26.8", []string{"1.26.8", "1.26.11", "1.27.0"}, func(w *world) { w.RefuseList(w.t, toolchains) }, "probed: 1.26.11; next go 1.27.0"},
		{"unconfirmed", "1.26.8", []string{"1.26.8", "1.26.9"}, func(w *world) {
			w.Serve(w.t, toolchains, name("1.26.10"), map[string]string{"go.mod": "module golang.org/toolchain\n"})
		}, "listed: 1.26.9; unconfirmed 1.26.10"},
		{"broken", "1.26.8", nil, func(w *world) { w.Answer("/golang.org/toolchain/@v/list", http.StatusBadGateway, "") }, "~502 Bad Gateway"},
		{"a version broken", "1.26.8", []string{"1.26.8", "1.26.9"}, func(w *world) {
			w.Answer("/golang.org/toolchain/@v/"+name("1.26.9")+".mod", http.StatusBadGateway, "")
		}, "~502 Bad Gateway"},
		{"no version", "1.26rc1", nil, nil, "~not of the form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.t = t
			for _, v := range tt.versions {
				w.add(toolchains, "", name(v), strings.Replace(name(v), "linux", "darwin", 1))
			}
			if tt.world != nil {
				tt.world(w)
			}
			f, err := w.Go(t.Context(), tt.current, host)
			got := say(f, err)
			if want, part := strings.CutPrefix(tt.want, "~"); part && (!errors.Is(err, ErrUnknown) || !strings.Contains(got, want)) || !part && got != want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNextMajor(t *testing.T) {
	for path, want := range map[string]string{
		bell: "example.org/bell/v2", bell + "/v2": "example.org/bell/v3", bell + "/v9": "example.org/bell/v10",
		"gopkg.in/yaml.v3": "gopkg.in/yaml.v4", "gopkg.in/x.v1-unstable": "gopkg.in/x.v2", bell + "/v1": "",
	} {
		if got, _, ok := nextMajor(path); got != want || ok != (want != "") {
			t.Errorf("%s: got %s %v, want %s", path, got, ok, want)
		}
	}
}

func TestReport(t *testing.T) {
	v := func(version string) Version { return Version{Path: bell, Version: version, Released: proxytest.Added} }
	plain := func(version string) string { return strings.TrimPrefix(version, "v") }
	next := Version{Path: bell + "/v2", Version: "v2.0.0", Released: proxytest.Added}
	minor := Version{Path: "go", Version: "1.27.4", Released: proxytest.Added}
	asks := NewSubject(Upstream, "c", []string{"c"}, Found{Current: "v1.0.0", How: Listed, Newer: []Version{{Path: "example.org/c", Version: "v1.1.0", Go: "1.27"}}}, nil, plain)
	asks.Go = "1.26.8"
	all := []Subject{
		NewSubject(Linked, "example.org/rope", []string{"b", "a"}, Found{Path: "example.org/rope", Current: "v0.1.0", How: Listed, Newer: []Version{v("v0.2.0")}, LeftOut: 7}, nil, nil),
		NewSubject(Linked, "example.org/knot", []string{"a"}, Found{Path: "example.org/knot", Current: "v0.1.0", How: Probed, Newer: []Version{}, Retracted: &Refusal{"v0.1.0", "It slips."}}, nil, nil),
		NewSubject(Toolchain, "go", []string{"b"}, Found{Path: "go", Current: "1.26.10", How: Listed, Newer: []Version{}}, nil, nil),
		NewSubject(Toolchain, "go", []string{"a"}, Found{Path: "go", Current: "1.26.8", How: Listed, Newer: []Version{{Path: "go", Version: "1.26.9", Released: proxytest.Added}}, Next: &minor}, nil, nil),
		asks,
		NewSubject(Upstream, "b", []string{"b"}, Found{Current: "v1.0.0"}, errors.New("it\x1b[2J\nfails"), plain),
		NewSubject(Upstream, "a", []string{"a"}, Found{
			Path: bell, Current: "v1.2.0", How: Both, Newer: []Version{v("v1.2.1"), v("v1.3.0")}, LeftOut: 2, Next: &next, Refused: "403 Forbidden", Deprecated: "ring by hand",
			Retracted: &Refusal{"v1.2.0", "Rings at night."}, Withdrawn: []Refusal{{"v1.4.0", "Too."}}, Unconfirmed: []Refusal{{"v1.5.0", "404 Not Found"}},
		}, nil, plain),
	}
	r := NewReport(all)
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, row := range append([][]string{Header()}, r.Rows()...) {
		text += strings.Join(row, " | ") + "\n"
	}
	text += fmt.Sprintf("behind %q\nunknown %q\n", r.Behind(), r.Unknown())
	slices.Reverse(all)
	if again, err := NewReport(all).Encode(); err != nil || string(again) != string(data) {
		t.Errorf("the order in which it is asked shows: %v\n%s", err, again)
	}
	file := filepath.Join("testdata", "report.golden")
	if *golden {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != text {
		t.Errorf("got %s\nwant %s%v", text, want, err)
	}
}
