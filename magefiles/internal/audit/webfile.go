package audit

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// Web config files of the checks.
const (
	fileTLS   = "tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n"
	fileUsers = "basic_auth_users:\n  " + auditUser + ": " + hashOfCost10 + "\n"
	allowFlag = "web.insecure-allow-cleartext"
)

// explicit are options with a web config file that lets auditUser in.
func explicit(file string) options {
	return options{web: file, user: auditUser, password: auditPassword}
}

// serves expects that a start with o answers a scrape.
func (b *bench) serves(ctx context.Context, o options) (*server, error) {
	s, err := b.start(ctx, o)
	if err != nil {
		return nil, fail("does not start: %v", err)
	}
	r, err := s.get(ctx, b.metrics(), right)
	if err != nil {
		return nil, err
	}
	if !r.ok() {
		return nil, fail("starts, but a scrape is answered with status %d", r.status)
	}
	return s, nil
}

// refuseCleartext starts with files that lack TLS, users or both, where all
// the network could listen and where only this machine can.
func refuseCleartext(ctx context.Context, b *bench) (string, error) {
	for _, tt := range []struct {
		what string
		file string
	}{
		{"users without TLS", fileUsers},
		{"neither TLS nor users", "http_server_config:\n  http2: false\n"},
	} {
		o := explicit(tt.file)
		o.listen = "0.0.0.0"
		if _, err := b.refused(ctx, o, "--"+allowFlag); err != nil {
			return "", fmt.Errorf("%s on every address: %w", tt.what, err)
		}
		o.listen = "127.0.0.1"
		if _, err := b.serves(ctx, o); err != nil {
			return "", fmt.Errorf("%s on loopback: %w", tt.what, err)
		}
		o.listen, o.args = "0.0.0.0", []string{"--" + allowFlag}
		s, err := b.serves(ctx, o)
		if err != nil {
			return "", fmt.Errorf("%s on every address with --%s: %w", tt.what, allowFlag, err)
		}
		if !logged(s.readLog(), "WARN") {
			return "", fail("%s on every address with --%s: nothing in the log warns of it", tt.what, allowFlag)
		}
		s.stop()
	}
	return "users without TLS, and neither of both, refused on 0.0.0.0 and taken on 127.0.0.1 or with --" + allowFlag, nil
}

// bcryptFloor starts with hashes of several costs.
func bcryptFloor(ctx context.Context, b *bench) (string, error) {
	for _, hash := range []string{hashOfCost4, hashOfCost9} {
		o := explicit(fileTLS + "basic_auth_users:\n  " + auditUser + ": " + hash + "\n")
		if _, err := b.refused(ctx, o, "htpasswd", auditUser); err != nil {
			return "", fmt.Errorf("a hash of cost %s: %w", hash[4:6], err)
		}
	}
	s, err := b.serves(ctx, explicit(fileTLS+fileUsers))
	if err != nil {
		return "", fmt.Errorf("a hash of cost 10: %w", err)
	}
	// The file is read again while the server runs.
	later := s.expand(fileTLS + "basic_auth_users:\n  " + auditUser + ": " + hashOfCost4 + "\n")
	if err := os.WriteFile(filepath.Join(s.dir, "audit-web-config.yml"), []byte(later), 0o600); err != nil {
		return "", err
	}
	s.client.close()
	r, err := s.get(ctx, b.metrics(), right)
	if err == nil && r.status == http.StatusOK {
		return "", fail("a hash of cost 4 that is put into the file while it runs lets its user in")
	}
	return "hashes of cost 4 and 9 refused with the command for a better one, cost 10 taken; cost 4 put in later lets nobody in", nil
}
