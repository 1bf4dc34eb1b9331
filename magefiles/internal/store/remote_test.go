package store

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"palisade/attestations/artifact"
)

// elsewhere is a Remote that has one result, or what a test makes of it.
type elsewhere struct {
	mu      sync.Mutex
	value   string
	files   map[string]string // content, by name
	claim   func([]artifact.File) []artifact.File
	lies    bool // says that it was taken, whatever accept says
	fails   error
	asked   int
	refused error
	offered []Left
	entries []Entry
}

func (e *elsewhere) Take(ctx context.Context, key Key, dir string, accept func(Left) error) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	if e.fails != nil || e.value == "" {
		return false, e.fails
	}
	var files []artifact.File
	for name, content := range e.files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			return false, err
		}
		files = append(files, artifact.File{Name: name, Mode: "0644", Size: int64(len(content)), Digest: artifact.DigestBytes([]byte(content))})
	}
	slices.SortFunc(files, func(a, b artifact.File) int { return len(a.Name) - len(b.Name) })
	if e.claim != nil {
		files = e.claim(files)
	}
	e.refused = accept(Left{json.RawMessage(e.value), files})
	return e.refused == nil || e.lies, nil
}

func (e *elsewhere) Offer(_ context.Context, _ Key, left Left, entry Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.offered, e.entries = append(e.offered, left), append(e.entries, entry)
}

type answer struct {
	N int `json:"n"`
}

// here makes the answer 1, and counts how often.
func here(made *int) func(context.Context, string) (answer, error) {
	return func(_ context.Context, dir string) (answer, error) {
		*made++
		return answer{1}, os.WriteFile(filepath.Join(dir, "f"), []byte("made here"), 0o644)
	}
}

func sharing(t *testing.T, e *elsewhere) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.Remote = e
	return s
}

// taken is what is true of a store after an attempt that may not leave anything.
func taken(t *testing.T, s *Store) bool {
	t.Helper()
	is, err := s.Taken()
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(s.dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return is
}

// What was made elsewhere is asked for once, kept as any other, and not offered.
func TestSharedTaken(t *testing.T) {
	e := &elsewhere{value: `{"n": 7}`, files: map[string]string{"f": "from elsewhere", "g/h": ""}}
	s, key, made := sharing(t, e), NewKey("long-1", "x"), 0
	if taken(t, s) {
		t.Error("an empty store has taken something")
	}
	for i := range 2 {
		value, entry, cached, err := Shared(t.Context(), s, key, func(a answer, left Entry) error {
			if data, err := os.ReadFile(filepath.Join(left.Dir, "f")); err != nil || string(data) != "from elsewhere" || a.N != 7 || len(left.Files) != 2 {
				t.Errorf("checked %v, %q, %v", a, data, err)
			}
			return nil
		}, here(&made))
		if err != nil || value.N != 7 || !cached || made > 0 || e.asked != 1 || len(e.offered) > 0 {
			t.Fatalf("%d: %v, cached %v, made %d, asked %d, offered %d: %v", i, value, cached, made, e.asked, len(e.offered), err)
		}
		if err := entry.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if !taken(t, s) {
		t.Error("the store does not say that it has taken something")
	}
	again, err := Open(s.dir)
	if err != nil || !taken(t, again) {
		t.Errorf("another process is not told: %v", err)
	}
}

// What there is not, or is refused, is made here, and offered.
func TestSharedMade(t *testing.T) {
	no := errors.New("not what was asked for")
	good := map[string]string{"f": "from elsewhere"}
	for _, tt := range []struct {
		name  string
		e     *elsewhere
		check func(answer, Entry) error
	}{
		{name: "nothing there", e: &elsewhere{}},
		{name: "a value of another type", e: &elsewhere{value: `{"n": "7"}`, files: good}},
		{name: "a field more", e: &elsewhere{value: `{"n": 7, "m": 8}`, files: good}},
		{name: "null", e: &elsewhere{value: " null\n", files: good}},
		{name: "two values", e: &elsewhere{value: `{"n": 7} {"n": 8}`, files: good}},
		{name: "a file more than is said", e: &elsewhere{value: `{"n": 7}`, files: good, claim: func(f []artifact.File) []artifact.File { return f[:0] }}},
		{name: "a file less", e: &elsewhere{value: `{"n": 7}`, files: good, claim: func(f []artifact.File) []artifact.File {
			return append(f, artifact.File{Name: "g", Mode: "0644", Digest: f[0].Digest})
		}}},
		{name: "another content", e: &elsewhere{value: `{"n": 7}`, files: good, claim: func(f []artifact.File) []artifact.File {
			f[0].Digest = artifact.DigestBytes(nil)
			return f
		}}},
		{name: "another mode", e: &elsewhere{value: `{"n": 7}`, files: good, claim: func(f []artifact.File) []artifact.File {
			f[0].Mode = "0755"
			return f
		}}},
		{name: "what the step refuses", e: &elsewhere{value: `{"n": 7}`, files: good}, check: func(answer, Entry) error { return no }},
		{name: "a liar", e: &elsewhere{value: `{"n": "7"}`, files: good, lies: true}},
	} {
		e, made := tt.e, 0
		s := sharing(t, e)
		value, entry, cached, err := Shared(t.Context(), s, NewKey("long-1", "x"), tt.check, here(&made))
		if err != nil || value.N != 1 || cached || made != 1 || e.asked != 1 {
			t.Fatalf("%s: %v, cached %v, made %d, asked %d: %v", tt.name, value, cached, made, e.asked, err)
		}
		if e.value != "" && e.refused == nil {
			t.Errorf("%s was accepted", tt.name)
		}
		if tt.check != nil && !errors.Is(e.refused, no) {
			t.Errorf("%s: %v", tt.name, e.refused)
		}
		if taken(t, s) {
			t.Errorf("%s: the store says that it has taken something", tt.name)
		}
		if len(e.offered) != 1 || string(e.offered[0].Value) != `{"n":1}` || !slices.Equal(e.offered[0].Files, entry.Files) || e.entries[0].Dir != entry.Dir {
			t.Errorf("%s: offered %+v", tt.name, e.offered)
		}
		if _, _, cached, err := Shared(t.Context(), s, NewKey("long-1", "x"), tt.check, here(&made)); err != nil || !cached || made != 1 || e.asked != 1 || len(e.offered) != 1 {
			t.Errorf("%s: asked or offered again: %v", tt.name, err)
		}
	}
}

// Of those who want one key at once, one asks.
func TestSharedOnce(t *testing.T) {
	e, made := &elsewhere{}, 0
	s := sharing(t, e)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, _, err := Shared(t.Context(), s, NewKey("long-1", "x"), nil, here(&made)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != 1 || e.asked != 1 || len(e.offered) != 1 {
		t.Errorf("made %d, asked %d, offered %d", made, e.asked, len(e.offered))
	}
}

// A step that fails is not offered; what ended is not made; and who shares nothing
// asks nobody.
func TestSharedFails(t *testing.T) {
	no, e, made := errors.New("no"), &elsewhere{}, 0
	s := sharing(t, e)
	_, _, _, err := Shared(t.Context(), s, NewKey("long-1", "x"), nil, func(context.Context, string) (answer, error) { return answer{}, no })
	if !errors.Is(err, no) || len(e.offered) > 0 {
		t.Errorf("%v, offered %d", err, len(e.offered))
	}
	e.fails = context.Canceled
	if _, _, _, err := Shared(t.Context(), s, NewKey("long-1", "x"), nil, here(&made)); !errors.Is(err, context.Canceled) || made > 0 {
		t.Errorf("%v, made %d", err, made)
	}
	if _, _, _, err := Do(t.Context(), s, NewKey("short-1", "x"), here(&made)); err != nil || e.asked != 2 {
		t.Errorf("a step that is not shared was asked for: %v", err)
	}
	s.Remote = nil
	if _, _, _, err := Shared(t.Context(), s, NewKey("long-1", "x"), nil, here(&made)); err != nil || made != 2 {
		t.Errorf("%v, made %d", err, made)
	}
}
