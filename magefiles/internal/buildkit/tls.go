package buildkit

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client"
)

// TLS is by what a worker and this machine know each other.
type TLS struct {
	// Dir holds the authority's certificate, the client's, and its key, by the
	// names that "buildctl --tlsdir" knows: ca.pem, cert.pem and key.pem, or
	// ca.crt, tls.crt and tls.key. "" is without.
	Dir string
	// ServerName is the name in the workers' certificates, "" for the host of
	// each address.
	ServerName string
}

// allows refuses an address of an unknown form, and one that anybody between
// here and there could answer for.
func (t TLS) allows(address string) error {
	const forms = "tcp://HOST:PORT or unix:///PATH"
	u, err := url.Parse(address)
	if err != nil {
		// What is before an @, and the error with it, may tell a password.
		return fmt.Errorf("%.200q is no address of a worker of BuildKit, which is %s", address[strings.LastIndex(address, "@")+1:], forms)
	}
	plain := u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.Opaque == ""
	switch {
	case plain && u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return nil
	case plain && u.Scheme == "tcp" && u.Hostname() != "" && u.Port() != "" && u.Path == "":
	default:
		return fmt.Errorf("%.200q is no address of a worker of BuildKit, which is %s", u.Redacted(), forms)
	}
	if ip := net.ParseIP(u.Hostname()); t.Dir == "" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("worker %s is on another machine: name the folder of the certificates, as buildctl's --tlsdir has it, in BUILDKIT_TLS_DIR", address)
	}
	return nil
}

func (t TLS) options(host string) ([]client.ClientOpt, error) {
	if t.Dir == "" || host == "" {
		return nil, nil
	}
	name := t.ServerName
	if name == "" {
		name = host
	}
	var found [3]string
	for i, names := range [3][2]string{{"ca.pem", "ca.crt"}, {"cert.pem", "tls.crt"}, {"key.pem", "tls.key"}} {
		for _, n := range names {
			if _, err := os.Stat(filepath.Join(t.Dir, n)); err == nil {
				found[i] = filepath.Join(t.Dir, n)
				break
			} else if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
		if found[i] == "" {
			return nil, fmt.Errorf("%s holds neither %s nor %s", t.Dir, names[0], names[1])
		}
	}
	return []client.ClientOpt{client.WithServerConfig(name, found[0]), client.WithCredentials(found[1], found[2])}, nil
}
