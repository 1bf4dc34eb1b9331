package rebuild

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
)

// MaxBundles is how many rebuilders may lie beside one artifact.
const MaxBundles = 32

// BundleName is what the bundle of that rebuilder is called in the folder beside
// an artifact, so that each has one: the first 16 hexadecimal digits of the
// SHA-256 of his public key in PKIX form, or of the text "issuer subject".
func BundleName(by bundle.Signer) (string, error) {
	digits := artifact.DigestBytes([]byte(by.Issuer + " " + by.Subject)).Hex()
	if by.KeyID != "" {
		sum, err := base64.StdEncoding.Strict().DecodeString(by.KeyID)
		if err != nil || len(sum) != 32 {
			return "", fmt.Errorf("%w: the key is called %.100q, which is no SHA-256 in base64", ErrInput, by.KeyID)
		}
		digits = hex.EncodeToString(sum)
	} else if by.Issuer == "" || by.Subject == "" {
		return "", fmt.Errorf("%w: it is not known who signed", ErrInput)
	}
	return digits[:16] + bundleSuffix, nil
}

const bundleSuffix = ".sigstore.json"

var bundleForm = regexp.MustCompile(`^[0-9a-f]{16}\.sigstore\.json$`)

// IsBundleName reports whether a file in that folder may be called so.
func IsBundleName(name string) bool { return bundleForm.MatchString(name) }
