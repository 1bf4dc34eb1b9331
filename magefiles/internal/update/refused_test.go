package update

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

// What was had once is in the module cache, and a proxy that now refuses whatever
// it is asked for is not taken for one that has nothing newer.
func TestRefusedNow(t *testing.T) {
	golang := "v0.0.1-go1.26.8.linux-amd64"
	for _, tt := range []struct {
		name   string
		refuse func(w *world)
		want   string // of the module; of Go it is the same
	}{
		{"answered", func(*world) {}, "listed:"},
		{"no list", func(w *world) {
			w.RefuseList(t, bell)
			w.RefuseList(t, toolchains)
		}, "probed:"},
		{"nothing", func(w *world) { w.Answer("/*", http.StatusForbidden, "") }, "~which there is: module could not be fetched: "},
		{"nothing, as if there were nothing", func(w *world) { w.Answer("/*", http.StatusNotFound, "") }, "~404 Not Found"},
		{"an empty list and nothing else", func(w *world) {
			w.Answer("/*", http.StatusForbidden, "")
			w.Answer("/"+bell+"/@v/list", http.StatusOK, "")
			w.Answer("/"+toolchains+"/@v/list", http.StatusOK, "")
		}, "~403 Forbidden"},
		{"a list of older ones and nothing else", func(w *world) {
			w.Answer("/*", http.StatusForbidden, "")
			w.Answer("/"+bell+"/@v/list", http.StatusOK, "v1.1.0\n")
			w.Answer("/"+toolchains+"/@v/list", http.StatusOK, strings.Replace(golang, "1.26.8", "1.26.7", 1)+"\n")
		}, "~403 Forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.t = t
			w.add(bell, "", "v1.2.0")
			w.add(toolchains, "", golang)
			holds := func(when string, f Found, err error, want string) {
				t.Helper()
				got := say(f, err)
				if part, is := strings.CutPrefix(want, "~"); is && (!errors.Is(err, ErrUnknown) || !strings.Contains(got, part)) || !is && got != want {
					t.Errorf("%s: got %s, want %s", when, got, want)
				}
			}
			ask := func(when, want string) {
				t.Helper()
				f, err := w.Module(t.Context(), bell, "v1.2.0", nil)
				holds(when+", a module", f, err, want)
				f, err = w.Go(t.Context(), "1.26.8", host)
				holds(when+", Go", f, err, want)
				found, errs, err := w.Linked(t.Context(), []module.Version{{Path: bell, Version: "v1.2.0"}})
				if err != nil {
					t.Fatal(err)
				}
				holds(when+", linked", found[0], errs[0], want)
			}
			ask("at first", "listed:")
			if _, err := w.Modules.Look(t.Context(), module.Version{Path: toolchains, Version: golang}); err != nil { // warm as well
				t.Fatal(err)
			}
			tt.refuse(w)
			ask("then", tt.want)
		})
	}
}
