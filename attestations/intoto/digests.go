package intoto

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrDigest is what every refusal of a digest wraps.
var ErrDigest = errors.New("malformed digest")

// Digests is a DigestSet (digest_set.md): by the name of its algorithm, each
// digest in lower-case hexadecimal digits.
type Digests map[string]string

// The algorithms that are known here, and how many hexadecimal digits each
// has. dirHash is that of go.sum, the hash of a list of files and not of a
// file; gitCommit is git's SHA-1 or SHA-256.
var algorithms = map[string][]int{
	"sha256":    {64},
	"sha512":    {128},
	"dirHash":   {64},
	"gitCommit": {40, 64},
}

// Validate refuses an algorithm that is not known here, and digits that are
// not its own. The specification lets a reader ignore such an algorithm; here
// nothing has one.
func (d Digests) Validate() error {
	for _, name := range slices.Sorted(maps.Keys(d)) {
		value := d[name]
		ok := false
		for _, n := range algorithms[name] {
			ok = ok || len(value) == n
		}
		if _, err := hex.DecodeString(value); !ok || err != nil || strings.ToLower(value) != value {
			return fmt.Errorf("%w: %.200q is not a %.40q in lower-case hexadecimal digits", ErrDigest, value, name)
		}
	}
	return nil
}

// DirHash is the dirHash of a go.sum hash: the same 32 bytes, in hexadecimal
// digits instead of "h1:" and base64.
func DirHash(h1 string) (string, error) { return rebase(h1, "h1:", 32) }

// H1 is the go.sum hash of a dirHash.
func H1(dirHash string) (string, error) {
	raw, err := hex.DecodeString(dirHash)
	if err != nil || len(raw) != 32 {
		return "", fmt.Errorf("%w: %.200q is no dirHash", ErrDigest, dirHash)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(raw), nil
}

// SHA512 is the sha512 of an npm integrity string, of which it allows one hash
// without options (Subresource Integrity, 3.1).
func SHA512(integrity string) (string, error) { return rebase(integrity, "sha512-", 64) }

func rebase(s, prefix string, size int) (string, error) {
	text, ok := strings.CutPrefix(s, prefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	// The decoder skips newlines and spare bits: only one text is a hash's.
	if !ok || err != nil || len(raw) != size || base64.StdEncoding.EncodeToString(raw) != text {
		return "", fmt.Errorf("%w: %.200q is not %q and %d bytes in base64", ErrDigest, s, prefix, size)
	}
	return hex.EncodeToString(raw), nil
}
