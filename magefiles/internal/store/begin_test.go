package store

import (
	"os"
	"testing"

	"palisade/attestations/artifact"
)

func TestBegin(t *testing.T) {
	one, two := artifact.DigestBytes([]byte("1")), artifact.DigestBytes([]byte("2"))
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, s *Store)
		want   bool
	}{
		{"nothing", func(*testing.T, *Store) {}, true},
		{"the same run", func(t *testing.T, s *Store) { begin(t, s, one, true); produceAny(t, s) }, true},
		{"another run", func(t *testing.T, s *Store) { begin(t, s, two, true) }, false},
		{"another run between", func(t *testing.T, s *Store) { begin(t, s, one, true); begin(t, s, two, false); produceAny(t, s) }, false},
		{"others since", func(t *testing.T, s *Store) {
			begin(t, s, one, true)
			produceAny(t, s)
			if err := s.Share(); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a result", func(t *testing.T, s *Store) { produceAny(t, s) }, false},
		{"another's folder", func(t *testing.T, s *Store) {
			if err := os.Mkdir(s.Dir("go-build"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			tt.before(t, s)
			begin(t, s, one, tt.want)
		})
	}
}

func begin(t *testing.T, s *Store, run artifact.Digest, want bool) {
	t.Helper()
	if fresh, err := s.Begin(run); err != nil || fresh != want {
		t.Fatalf("got %v, %v, want %v", fresh, err, want)
	}
}

func produceAny(t *testing.T, s *Store) {
	t.Helper()
	if _, _, _, err := Do(t.Context(), s, NewKey("test-1"), produce); err != nil {
		t.Fatal(err)
	}
}
