package resultcache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/attestations/step"
	"palisade/attestations/verify/registry"
	"palisade/magefiles/internal/store"
)

// What one machine makes another takes, and makes nothing; what it took it does
// not hand on.
func TestShared(t *testing.T) {
	w := newWorld(t)
	one, two := w.machine(t), w.machine(t)
	if one.do(t, long) || one.made != 1 || len(one.notes) > 0 {
		t.Errorf("the first: made %d, %q", one.made, one.notes)
	}
	if got := one.cache.Wait(t.Context()); got != (Tally{Sent: 1}) {
		t.Errorf("the first: %+v", got)
	}
	w.breaks(nil)
	if !two.do(t, long) || two.made > 0 {
		t.Errorf("the second: made %d, %q", two.made, two.notes)
	}
	if got := two.cache.Wait(t.Context()); got != (Tally{Taken: 1}) || w.count("PUT")+w.count("POST")+w.count("PATCH") > 0 {
		t.Errorf("the second: %+v, %q", got, w.asked)
	}
	id := must(bundle.KeyID(w.key.Public()))(t)
	if len(two.notes) != 1 || !strings.Contains(two.notes[0], "was made elsewhere, by key "+id) {
		t.Errorf("%q", two.notes)
	}
	for m, want := range map[*machine]bool{one: false, two: true} {
		if got, err := m.store.Taken(); err != nil || got != want {
			t.Errorf("taken %v, %v, want %v", got, err, want)
		}
	}
	// A step of other inputs, or another step, is not there.
	for _, other := range []store.Key{store.NewKey("compile-2", "bye"), store.NewKey("compile-3", "hello")} {
		if two.do(t, other) {
			t.Errorf("%s was there", other)
		}
	}
	// In the registry is what the tests make by hand, to the byte but for the signature.
	e := w.entry(t, w.key)
	_, _, tag, _ := parts(long)
	m := must(bundleOf(w.does(t, "GET", "manifests/"+tag, "", "").Body.Bytes()))(t)
	want := must(form(e.Step, m))(t)
	if got := w.does(t, "GET", "manifests/"+tag, "", "").Body.String(); got != string(want) {
		t.Errorf("the entry is\n%s\nwant\n%s", got, want)
	}
}

// Two that make the same at the same time both hand it on, and either is good.
func TestBothHandOn(t *testing.T) {
	w := newWorld(t)
	e := w.entry(t, w.key)
	one := w.machine(t)
	w.breaks(func(rw http.ResponseWriter, q *http.Request) bool {
		// Another is there before this one sends its own.
		if q.Method == http.MethodPost {
			e.publish(t, w, long)
		}
		return false
	})
	if one.do(t, long) || one.cache.Wait(t.Context()) != (Tally{Sent: 1}) {
		t.Errorf("%+v, %q", one.cache.Wait(t.Context()), one.notes)
	}
	w.breaks(nil)
	if two := w.machine(t); !two.do(t, long) {
		t.Errorf("%q", two.notes)
	}
}

// Without a key entries are taken, and none is offered.
func TestReadOnly(t *testing.T) {
	w := newWorld(t)
	without := func(o *Options) { o.Signer = nil }
	if m := w.machine(t, without); m.do(t, long) || len(m.notes) > 0 || w.count("POST")+w.count("PUT") > 0 {
		t.Errorf("%q, %q", m.notes, w.asked)
	}
	w.entry(t, w.key).publish(t, w, long)
	if m := w.machine(t, without); !m.do(t, long) || m.made > 0 {
		t.Errorf("%q", m.notes)
	}
}

// What this machine would not take itself it does not hand on, and says so once.
func TestOnlyWhatIsBelieved(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"a stranger's key": func(o *Options) { o.Signer = must(signing.WithKey(newKey(t)))(t) },
		"another builder": func(o *Options) {
			o.Builder = func(context.Context) (provenance.Builder, error) {
				b := builder
				b.ID += "0"
				return b, nil
			}
		},
	} {
		w := newWorld(t)
		m := w.machine(t, change)
		m.do(t, long)
		m.do(t, store.NewKey("compile-2", "bye"))
		if len(m.notes) != 1 || !errors.Is(m.errs[0], errOurs) || w.count("/blobs/")+w.count("PUT") > 0 {
			t.Errorf("%s: %q, %q", name, m.notes, w.asked)
		}
		if got := m.cache.Wait(t.Context()); got != (Tally{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A registry that fails costs no build, is told once, and is not asked without end.
func TestFaults(t *testing.T) {
	says := func(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, q *http.Request) bool {
			for i := 0; i+1 < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.WriteHeader(code)
			return true
		}
	}
	on := func(text string, fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, q *http.Request) bool {
			return strings.Contains(q.Method+" "+q.URL.Path, text) && fault(rw, q)
		}
	}
	hangUp := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	for _, tt := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		pause bool // the one that a user has
		want  error
		most  int // requests
		notes int
	}{
		{"down", says(503), false, registry.ErrUnavailable, 30, 2},
		{"broken", says(500), false, registry.ErrUnavailable, 30, 2},
		{"hangs up", hangUp, false, registry.ErrUnavailable, 60, 2}, // net/http tries again itself
		{"too many requests", says(429), false, registry.ErrUnavailable, 30, 2},
		{"come back tomorrow", says(429, "Retry-After", "86400"), true, registry.ErrUnavailable, 4, 2},
		{"come back in half a minute", says(429, "Retry-After", "30"), true, registry.ErrUnavailable, 4, 2},
		{"who are you", says(401, "WWW-Authenticate", `Basic realm="x"`), false, registry.ErrDenied, 20, 2},
		{"none of yours", on("/manifests/", says(403)), false, registry.ErrDenied, 60, 2},
		{"manifests fail", on("GET /v2/house/cache/manifests/", says(500)), false, registry.ErrUnavailable, 60, 1},
		{"is full", on("POST", says(500)), false, registry.ErrUnavailable, 60, 1},
		{"takes nothing", on("POST", says(405)), false, registry.ErrAnswer, 60, 2},
		{"takes no tag", on("PUT /v2/house/cache/manifests/", says(400)), false, registry.ErrAnswer, 90, 2},
	} {
		w := newWorld(t)
		w.breaks(tt.fault)
		m := w.machine(t, func(o *Options) {
			if tt.pause {
				o.Pause = impatient
			}
		})
		for i := range 2 {
			if m.do(t, store.NewKey("compile-2", fmt.Sprint(i))) {
				t.Errorf("%s: something was there", tt.name)
			}
		}
		if m.made != 2 || len(m.notes) != tt.notes || len(m.errs) == 0 || !errors.Is(m.errs[0], tt.want) {
			t.Errorf("%s: made %d, %q, want %d of %v", tt.name, m.made, m.notes, tt.notes, tt.want)
		}
		if n := w.count(" "); n > tt.most {
			t.Errorf("%s: %d requests: %q", tt.name, n, w.asked)
		}
		if m.cache.Wait(t.Context()).Refused > 0 {
			t.Errorf("%s: it is called a refusal", tt.name)
		}
	}
	// Nobody listens, or in the clear.
	for address, want := range map[string]error{"127.0.0.1:1/house/cache": registry.ErrUnavailable, "10.255.255.1/house/cache": registry.ErrPlaintext} {
		w := newWorld(t)
		m := w.machine(t, func(o *Options) {
			if o.Repository = address; want == registry.ErrPlaintext {
				o.Transport = onlyPlain{}
			}
		})
		if m.do(t, long) || len(m.errs) == 0 || !errors.Is(m.errs[0], want) || m.cache.Wait(t.Context()) != (Tally{}) {
			t.Errorf("%s: %q", address, m.notes)
		}
	}
	// What fails for a moment does not fail.
	w := newWorld(t)
	w.entry(t, w.key).publish(t, w, long)
	failed := false
	w.breaks(func(rw http.ResponseWriter, q *http.Request) bool {
		if failed || !strings.Contains(q.URL.Path, "/manifests/") {
			return false
		}
		failed = true
		return says(503)(rw, q)
	})
	if m := w.machine(t); !m.do(t, long) || !failed {
		t.Errorf("%q", m.notes)
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

// What this machine cannot keep is no refusal, and is told as what it is.
func TestHere(t *testing.T) {
	full := func(t *testing.T, dir string) func(store.Left) error {
		return func(store.Left) error { return fmt.Errorf("%w: the disk is full", store.ErrHere) }
	}
	for name, accept := range map[string]func(t *testing.T, dir string) func(store.Left) error{
		"when it is kept": full,
		"before": func(t *testing.T, dir string) func(store.Left) error {
			if err := os.WriteFile(filepath.Join(dir, "beacon"), nil, 0o600); err != nil { // where a file goes
				t.Fatal(err)
			}
			return nil
		},
	} {
		w := newWorld(t)
		w.entry(t, w.key).publish(t, w, long)
		m, dir := w.machine(t), t.TempDir()
		if taken, err := m.cache.Take(t.Context(), long, dir, accept(t, dir)); taken || err != nil {
			t.Errorf("%s: %v, %v", name, taken, err)
		}
		if len(m.notes) != 1 || !errors.Is(m.errs[0], store.ErrHere) || strings.Contains(m.notes[0], "REFUSED") || m.cache.Wait(t.Context()) != (Tally{}) {
			t.Errorf("%s: %q", name, m.notes)
		}
	}
}

// Of those who come together to a registry that cannot be had, one waits for it.
func TestTogether(t *testing.T) {
	w := newWorld(t)
	down := func(rw http.ResponseWriter, _ *http.Request) bool {
		time.Sleep(10 * time.Millisecond) // so that all have come
		rw.WriteHeader(503)
		return true
	}
	asked := map[int]int{}
	for _, many := range []int{1, 8} {
		w.breaks(down)
		m := w.machine(t)
		var all sync.WaitGroup
		for i := range many {
			dir := t.TempDir()
			all.Go(func() {
				if taken, err := m.cache.Take(t.Context(), store.NewKey("compile-2", fmt.Sprint(i)), dir, nil); taken || err != nil {
					t.Errorf("%v, %v", taken, err)
				}
			})
		}
		all.Wait()
		if asked[many] = w.count(" "); len(m.notes) != 1 || !errors.Is(m.errs[0], registry.ErrUnavailable) {
			t.Errorf("%d: %q", many, m.notes)
		}
	}
	if asked[1] == 0 || asked[8] != asked[1] {
		t.Errorf("asked %v times", asked)
	}
}

// A registry that answers and does not end is given up when the build ends.
func TestCancelled(t *testing.T) {
	w := newWorld(t)
	begun := make(chan struct{}, 100)
	w.breaks(func(rw http.ResponseWriter, q *http.Request) bool {
		if !strings.Contains(q.URL.Path, "/manifests/") {
			return false
		}
		begun <- struct{}{}
		<-q.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	m := w.machine(t)
	go func() { <-begun; cancel() }()
	_, _, _, err := store.Shared(ctx, m.store, long, nil, func(context.Context, string) (value, error) {
		t.Error("it is made all the same")
		return value{}, nil
	})
	if !errors.Is(err, context.Canceled) || len(m.notes) > 0 {
		t.Errorf("%v, %q", err, m.notes)
	}
	// And so is one that takes what is sent, and does not answer.
	w = newWorld(t)
	w.breaks(func(_ http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodPost {
			return false
		}
		begun <- struct{}{}
		<-q.Context().Done()
		return true
	})
	m = w.machine(t)
	ctx, cancel = context.WithCancel(t.Context())
	m.cache.Offer(ctx, long, store.Left{Value: []byte("{}")}, store.Entry{})
	<-begun
	cancel()
	if got := m.cache.Wait(ctx); got != (Tally{}) || len(m.notes) > 0 {
		t.Errorf("%+v, %q", got, m.notes)
	}
}

// A policy that believes nobody, and what is no repository, are refused before
// anything is asked.
func TestOpen(t *testing.T) {
	w := newWorld(t)
	o := Options{Repository: w.address, Policy: w.policy, Trust: w.trust, Now: time.Now}
	must(Open(o))(t)
	for name, tt := range map[string]struct {
		change func(*Options)
		want   error
	}{
		"no key":      {func(o *Options) { o.Trust.Keys = nil }, bundle.ErrTrust},
		"no time":     {func(o *Options) { o.Now = nil }, bundle.ErrTrust},
		"no registry": {func(o *Options) { o.Repository = "cache" }, registry.ErrReference},
		"a tag":       {func(o *Options) { o.Repository += ":latest" }, registry.ErrReference},
		"nothing":     {func(o *Options) { o.Repository = "" }, registry.ErrReference},
		"a URL":       {func(o *Options) { o.Repository = "https://registry.example/cache" }, registry.ErrReference},
	} {
		changed := o
		tt.change(&changed)
		if _, err := Open(changed); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if w.count(" ") > 0 {
		t.Errorf("%q", w.asked)
	}
}

// A tag stands for one key; what has none is not shared.
func TestTags(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range []store.Key{long, store.NewKey("compile-2", "bye"), store.NewKey("webui-2", "hello")} {
		name, inputs, tag, ok := parts(key)
		if !ok || seen[tag] || name+"/"+inputs.Hex() != key.String() || strings.ContainsAny(tag, "/:") {
			t.Errorf("%s: %s, %s, %s, %v", key, name, inputs, tag, ok)
		}
		seen[tag] = true
	}
	if _, _, tag, ok := parts(store.NewKey(strings.Repeat("a", 64))); ok {
		t.Errorf("%s is a tag of %d characters", tag, len(tag))
	}
	if _, _, _, ok := parts(store.Key{}); ok {
		t.Error("no key has a tag")
	}
}

// Whatever the manifest of a stranger is, all that is read of it is where a bundle
// of a bounded size may be; and the one that is written is read.
func FuzzManifest(f *testing.F) {
	good := step.Step{Files: []artifact.File{{Name: "a", Mode: "0644", Size: 1, Digest: artifact.DigestBytes([]byte("a"))}}, Value: step.ValueOf([]byte("1"))}
	f.Add(must(form(good, describe(bundle.MediaType, []byte("b"))))(f))
	f.Add([]byte(`{"layers":[{"mediaType":"` + bundle.MediaType + `","digest":"` + artifact.DigestBytes(nil).String() + `","size":9223372036854775807}]}`))
	f.Add([]byte(`{"layers":[{}]}`))
	f.Add([]byte(`{"layers":[]}`))
	f.Add([]byte(`{"layers":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := bundleOf(data)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatalf("%v wraps no %v", err, ErrForm)
			}
			return
		}
		if d.MediaType != bundle.MediaType || d.Digest.IsZero() || d.Size <= 0 || d.Size > maxBundle {
			t.Fatalf("%+v", d)
		}
		if again, err := bundleOf(must(form(good, d))(t)); err != nil || again != d {
			t.Fatalf("%v, %v", again, err)
		}
	})
}
