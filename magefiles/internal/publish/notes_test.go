package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"palisade/attestations/releases"
	"palisade/magefiles/internal/consume"
)

// The notes of a release are those that its entry in the index of releases names,
// wherever it is taken from: whoever can write there can say what he likes beside it,
// under the same tag, but not this.
func TestNotes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, notes string)
		want   error
	}{
		{"as they are", func(*testing.T, string) {}, nil},
		{"swapped", func(t *testing.T, notes string) { put(t, notes, "# Switch it off first") }, consume.ErrMismatch},
		{"taken away", func(t *testing.T, notes string) {
			if err := os.Remove(notes); err != nil {
				t.Fatal(err)
			}
		}, consume.ErrMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, s, dir := newFiles(t, "binary"), newServer(t, true), t.TempDir()
			of := entry(t, openRelease(t, r))
			tt.change(t, filepath.Join(r.dir, releases.NotesName))
			planted := openRelease(t, r)
			if _, err := publishFiles(s.options(), planted, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := planted.ToDirectory(context.Background(), dir, version, nil); err != nil {
				t.Fatal(err)
			}
			for _, from := range []consume.Place{s.place(t), consume.Directory(dir)} {
				got, err := fetch(t, from, of)
				if !errors.Is(err, tt.want) || (len(got) == 0) != (tt.want != nil) {
					t.Errorf("%s: %v, want %v; fetched %d files", from, err, tt.want, len(got))
				}
			}
		})
	}
}
