package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrDigest is what every refusal of a malformed digest wraps.
var ErrDigest = errors.New("malformed digest")

// A Digest names content by its hash, in OCI's text form: "sha256:" and 64
// lower-case hexadecimal digits. It is a comparable value; the zero Digest
// names nothing and marshals to an error, so it cannot be mistaken for one.
type Digest struct{ hex string }

// ParseDigest reads the text form. Any algorithm but sha256, and any digit
// that is not lower-case hexadecimal, is refused.
func ParseDigest(s string) (Digest, error) {
	digits, ok := strings.CutPrefix(s, "sha256:")
	if !ok {
		return Digest{}, fmt.Errorf("%w: %q does not begin with sha256:", ErrDigest, s)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != sha256.Size || strings.ToLower(digits) != digits {
		return Digest{}, fmt.Errorf("%w: %q is not 64 lower-case hexadecimal digits", ErrDigest, digits)
	}
	return Digest{digits}, nil
}

// DigestBytes is the digest of b.
func DigestBytes(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest{hex.EncodeToString(sum[:])}
}

// DigestReader reads r to its end and returns its digest and length in bytes.
func DigestReader(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return Digest{}, n, err
	}
	return Digest{hex.EncodeToString(h.Sum(nil))}, n, nil
}

// DigestFile is the digest and length of the file called name.
func DigestFile(name string) (Digest, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return Digest{}, 0, err
	}
	defer f.Close()
	return DigestReader(f)
}

// Hex is the digest's hexadecimal digits alone, as sha256sum prints them.
func (d Digest) Hex() string { return d.hex }

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d.hex == "" }

// String is the text form; the zero Digest's is empty.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return "sha256:" + d.hex
}

// MarshalText refuses the zero Digest.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, fmt.Errorf("%w: zero", ErrDigest)
	}
	return []byte(d.String()), nil
}

// UnmarshalText accepts exactly what ParseDigest does.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
