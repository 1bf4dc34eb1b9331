package artifact

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPlatform is what every refusal of a malformed platform wraps.
var ErrPlatform = errors.New("malformed platform")

// A Platform is an OCI platform: operating system, architecture and, where
// the architecture has several, its variant. Its text form is OCI's,
// "linux/amd64" or "linux/arm/v7".
type Platform struct{ OS, Arch, Variant string }

// ParsePlatform reads the text form. It checks the form only: which platforms
// exist is for a recipe to say.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return Platform{}, fmt.Errorf("%w: %q is not os/arch or os/arch/variant", ErrPlatform, s)
	}
	for _, p := range parts {
		if p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return Platform{}, fmt.Errorf("%w: %q has a part that is not lower-case letters and digits", ErrPlatform, s)
		}
	}
	p := Platform{OS: parts[0], Arch: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// String is the text form.
func (p Platform) String() string {
	if p.Variant == "" {
		return p.OS + "/" + p.Arch
	}
	return p.OS + "/" + p.Arch + "/" + p.Variant
}

// Slug is the platform as file names hold it, after upstream's habit:
// "linux-amd64", "linux-armv7".
func (p Platform) Slug() string { return p.OS + "-" + p.Arch + p.Variant }

// MarshalText gives the text form, and refuses a Platform that ParsePlatform
// would not read back, the zero one among them.
func (p Platform) MarshalText() ([]byte, error) {
	if back, err := ParsePlatform(p.String()); err != nil || back != p {
		return nil, fmt.Errorf("%w: %q cannot be written", ErrPlatform, p.String())
	}
	return []byte(p.String()), nil
}

// UnmarshalText accepts exactly what ParsePlatform does.
func (p *Platform) UnmarshalText(text []byte) error {
	parsed, err := ParsePlatform(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
