package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// tampering is each way in which an entry can stop being what was made. Where
// record is set, looking it up refuses it; else reading the file "a.txt" does,
// unless only Verify can see it.
var tampering = map[string]struct {
	do             func(place string) error
	record, hidden bool
	says           string
}{
	"byte of a file": {do: func(p string) error {
		return os.WriteFile(filepath.Join(p, "files/a.txt"), []byte("a <c>"), 0o644)
	}, says: "its digest differs"},
	"file cut": {do: func(p string) error {
		return os.Truncate(filepath.Join(p, "files/a.txt"), 4)
	}, says: "4 bytes instead of 5"},
	"file grown": {do: func(p string) error {
		return os.WriteFile(filepath.Join(p, "files/a.txt"), []byte("a <b> and more"), 0o644)
	}, says: "has grown"},
	"file removed": {do: func(p string) error {
		return os.Remove(filepath.Join(p, "files/a.txt"))
	}, says: "is missing"},
	"files removed": {do: func(p string) error {
		return os.RemoveAll(filepath.Join(p, "files"))
	}, says: ""},
	"file turned into a link to its like": {do: func(p string) error {
		at := filepath.Join(p, "files/a.txt")
		return errors.Join(os.Rename(at, filepath.Join(p, "moved")), os.Symlink("../moved", at))
	}, says: "regular file"},
	"file added": {do: func(p string) error {
		return os.WriteFile(filepath.Join(p, "files/bin/extra"), nil, 0o755)
	}, hidden: true, says: "not in the record"},
	"run bit": {do: func(p string) error {
		return os.Chmod(filepath.Join(p, "files/a.txt"), 0o755)
	}, hidden: true, says: "mode 0755 instead of 0644"},
	"record removed": {do: func(p string) error {
		return os.Remove(filepath.Join(p, "result.json"))
	}, record: true, says: "no result.json"},
	"record emptied": {do: func(p string) error {
		return os.Truncate(filepath.Join(p, "result.json"), 0)
	}, record: true},
	"record cut": {do: func(p string) error {
		return os.Truncate(filepath.Join(p, "result.json"), 100)
	}, record: true},
	"value":          {do: edit(`"name":"a`, `"name":"b`), record: true, says: "its sum differs"},
	"recorded size":  {do: edit(`"size":5`, `"size":6`), record: true, says: "its sum differs"},
	"unknown field":  {do: edit(`{"key"`, `{"more":1,"key"`), record: true, says: "unknown field"},
	"something more": {do: edit(`"}`+"\x00", `"}{}`), record: true, says: "something follows"},
	"another key's record": {do: func(p string) error {
		other := filepath.Join(filepath.Dir(p), NewKey("step", "other").sum)
		return errors.Join(os.RemoveAll(p), os.Rename(other, p))
	}, record: true, says: "it is the record of"},
}

// edit replaces text in the record; a NUL stands for its end.
func edit(old, new string) func(string) error {
	return func(place string) error {
		path := filepath.Join(place, "result.json")
		data, err := os.ReadFile(path)
		changed := strings.Replace(string(data)+"\x00", old, new, 1)
		if changed == string(data)+"\x00" {
			return errors.Join(err, fmt.Errorf("%q is not in %s", old, data))
		}
		return os.WriteFile(path, []byte(strings.TrimSuffix(changed, "\x00")), 0o600)
	}
}

func TestTampering(t *testing.T) {
	for name, test := range tampering {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			key := NewKey("step")
			for _, k := range []Key{key, NewKey("step", "other")} {
				if _, _, _, err := Do(t.Context(), s, k, produce); err != nil {
					t.Fatal(err)
				}
			}
			place := s.place(key)
			if err := test.do(place); err != nil {
				t.Fatal(err)
			}
			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%s: got %v, want ErrCorrupt", what, err)
				}
				if !strings.Contains(err.Error(), test.says) || !strings.HasSuffix(err.Error(), "; remove "+place) {
					t.Errorf("%s says %q; want %q and what to remove", what, err, test.says)
				}
			}
			_, _, _, err := Do(t.Context(), s, key, produce)
			if test.record {
				refused("Do", err)
				_, _, _, err = Peek[made](s, key)
				refused("Peek", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, entry, _, _ := Peek[made](s, key)
			refused("Verify", entry.Verify(t.Context()))
			if test.hidden {
				return
			}
			_, err = read(entry, "a.txt")
			refused("Open", err)
			dst := filepath.Join(t.TempDir(), "dst")
			if err := os.WriteFile(dst, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			refused("CopyTo", entry.CopyTo("a.txt", dst, 0o644))
			if got, _ := os.ReadFile(dst); string(got) != "old" {
				t.Errorf("CopyTo left %q in place of the old file", got)
			}
			if all, _ := os.ReadDir(filepath.Dir(dst)); len(all) != 1 {
				t.Errorf("CopyTo left behind %v", all)
			}
		})
	}
}

// No record makes the reader panic, and what it accepts names files that are
// in order, below the entry and have a digest.
func FuzzRecord(f *testing.F) {
	s, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	key := NewKey("step")
	if _, _, _, err := Do(f.Context(), s, key, produce); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.place(key), "result.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	r := result{Key: key.String(), Value: []byte(`{}`), Files: []byte(`[{"name":"../a","mode":"0644","size":1,"digest":"` + artifact.DigestBytes(nil).String() + `"}]`)}
	r.Sum, _ = r.sum()
	outside, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(outside)
	f.Add([]byte(`{"key":"` + key.String() + `","value":null,"files":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var value made
		var files []artifact.File
		if err := decodeResult(data, key, &value, &files); err != nil {
			return
		}
		for i, file := range files {
			if !filepath.IsLocal(file.Name) || file.Digest.IsZero() || i > 0 && files[i-1].Name >= file.Name {
				t.Errorf("accepted %v", files)
			}
		}
	})
}
