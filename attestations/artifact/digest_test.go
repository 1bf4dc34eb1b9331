package artifact

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The digest of nothing, as sha256sum prints it.
const emptyHex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseDigest(t *testing.T) {
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"as OCI writes it", "sha256:" + emptyHex, true},
		{"empty", "", false},
		{"no algorithm", emptyHex, false},
		{"other algorithm", "sha512:" + emptyHex, false},
		{"algorithm in capitals", "SHA256:" + emptyHex, false},
		{"capital digits", "sha256:" + strings.ToUpper(emptyHex), false},
		{"one digit short", "sha256:" + emptyHex[1:], false},
		{"one byte long", "sha256:" + emptyHex + "00", false},
		{"no digits", "sha256:", false},
		{"not hexadecimal", "sha256:" + strings.Replace(emptyHex, "e", "g", 1), false},
		{"space before", " sha256:" + emptyHex, false},
		{"line end behind", "sha256:" + emptyHex + "\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDigest(tt.in)
			if !tt.ok {
				if !errors.Is(err, ErrDigest) {
					t.Fatalf("ParseDigest(%q) = %v, %v, want ErrDigest", tt.in, d, err)
				}
				if !d.IsZero() {
					t.Errorf("a refused digest is %v, want the zero one", d)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.String() != tt.in || d.Hex() != emptyHex {
				t.Errorf("String %q, Hex %q, want %q and %q", d, d.Hex(), tt.in, emptyHex)
			}
			if d != DigestBytes(nil) {
				t.Errorf("two digests of one content are not equal")
			}
		})
	}
}

// Bytes, a reader and a file of one content have one digest.
func TestDigestSources(t *testing.T) {
	const content = "palisade"
	want := DigestBytes([]byte(content))
	fromReader, n, err := DigestReader(strings.NewReader(content))
	if err != nil || fromReader != want || n != int64(len(content)) {
		t.Errorf("DigestReader = %v, %d, %v, want %v, %d", fromReader, n, err, want, len(content))
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	fromFile, n, err := DigestFile(name)
	if err != nil || fromFile != want || n != int64(len(content)) {
		t.Errorf("DigestFile = %v, %d, %v, want %v, %d", fromFile, n, err, want, len(content))
	}
	if d, _, err := DigestFile(name + ".missing"); !errors.Is(err, os.ErrNotExist) || !d.IsZero() {
		t.Errorf("DigestFile of nothing = %v, %v, want the zero digest and ErrNotExist", d, err)
	}
	failing := errors.New("failing")
	if d, _, err := DigestReader(&failingReader{failing}); err != failing || !d.IsZero() {
		t.Errorf("DigestReader of a failing reader = %v, %v, want the zero digest and its error", d, err)
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read(p []byte) (int, error) { p[0] = 'x'; return 1, r.err }

func TestDigestJSON(t *testing.T) {
	want := DigestBytes([]byte("palisade"))
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Digest
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("%s reads back as %v, %v", text, got, err)
	}
	if text, err := json.Marshal(Digest{}); !errors.Is(err, ErrDigest) {
		t.Errorf("the zero digest marshals to %s, %v, want ErrDigest", text, err)
	}
	if err := json.Unmarshal([]byte(`"sha256:00"`), &got); !errors.Is(err, ErrDigest) {
		t.Errorf("unmarshalling a short digest: %v, want ErrDigest", err)
	}
	if got != want {
		t.Errorf("a refused text changed the digest to %v", got)
	}
}

// What is read is written again as it was.
func FuzzParseDigest(f *testing.F) {
	for _, s := range []string{"", "sha256:", "sha256:" + emptyHex, "sha256:" + strings.ToUpper(emptyHex), "sha512:" + emptyHex, emptyHex} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDigest(s)
		if err != nil {
			if !errors.Is(err, ErrDigest) || !d.IsZero() {
				t.Errorf("refused with %v, %v", d, err)
			}
			return
		}
		if d.String() != s || len(d.Hex()) != 64 {
			t.Errorf("%q reads as %q", s, d)
		}
	})
}
