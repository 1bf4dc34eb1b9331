package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// BuildKit says which workers compile. Without addresses this machine does.
type BuildKit struct {
	Addresses     []string // as they were given; what they mean is the client's to judge
	TLSDir        string   // absolute, "" for none
	TLSServerName string
}

// Bounds of a file of addresses.
const (
	maxAddresses     = 1 << 10
	maxAddressesFile = 1 << 20 // bytes
)

func loadBuildKit() (BuildKit, error) {
	b := BuildKit{TLSDir: os.Getenv("BUILDKIT_TLS_DIR"), TLSServerName: os.Getenv("BUILDKIT_TLS_SERVER_NAME")}
	said := os.Getenv("BUILDKIT_HOST")
	if said == "" {
		return BuildKit{}, nil
	}
	var err error
	if name, ok := strings.CutPrefix(said, "@"); ok {
		b.Addresses, err = addressesIn(name)
	} else {
		b.Addresses = strings.Split(said, ",")
	}
	if err != nil {
		return BuildKit{}, fmt.Errorf("%w: BUILDKIT_HOST=%s: %w", ErrUsage, redacted(said), err)
	}
	for i := range b.Addresses {
		if b.Addresses[i] = strings.TrimSpace(b.Addresses[i]); b.Addresses[i] == "" {
			return BuildKit{}, fmt.Errorf("%w: BUILDKIT_HOST=%s: an address is empty", ErrUsage, redacted(said))
		}
	}
	if len(b.Addresses) == 0 || len(b.Addresses) > maxAddresses {
		return BuildKit{}, fmt.Errorf("%w: BUILDKIT_HOST=%s: it names %d workers, not 1 to %d", ErrUsage, redacted(said), len(b.Addresses), maxAddresses)
	}
	if b.TLSServerName != "" && b.TLSDir == "" {
		return BuildKit{}, fmt.Errorf("%w: BUILDKIT_TLS_SERVER_NAME=%s: it is the name in a certificate, and BUILDKIT_TLS_DIR names none to know it by", ErrUsage, b.TLSServerName)
	}
	if b.TLSDir != "" {
		if b.TLSDir, err = filepath.Abs(b.TLSDir); err != nil {
			return BuildKit{}, err
		}
	}
	return b, nil
}

// redacted is what BUILDKIT_HOST said, without what may be a password: everything
// before an @ but the one of a file.
func redacted(said string) string {
	if at := strings.LastIndex(said, "@"); at > 0 && !strings.HasPrefix(said, "@") {
		return "…" + said[at:]
	}
	return said
}

// addressesIn reads one from each line that is neither empty nor begins with #.
func addressesIn(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAddressesFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxAddressesFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxAddressesFile)
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all, nil
}
