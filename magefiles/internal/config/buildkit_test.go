package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBuildKit(t *testing.T) {
	root, home := checkout(t)
	file := filepath.Join(home, "workers")
	if err := os.WriteFile(file, []byte("# ours\ntcp://a:1\n\n  tcp://b:1  \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty, large := filepath.Join(home, "empty"), filepath.Join(home, "large")
	if err := os.WriteFile(empty, []byte("# none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, maxAddressesFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		said, want, refused string
	}{
		{"", "", ""},
		{"tcp://a:1", "tcp://a:1", ""},
		{"tcp://a:1, unix:///b", "tcp://a:1 unix:///b", ""},
		{"@" + file, "tcp://a:1 tcp://b:1", ""},
		{"tcp://a:1,", "", "an address is empty"},
		{"@" + empty, "", "it names 0 workers"},
		{"@" + large, "", "larger than"},
		{"@" + file + ".none", "", "no such file"},
		{"tcp://a:1" + strings.Repeat(",tcp://a:1", maxAddresses), "", "it names 1025 workers"},
	} {
		t.Setenv("BUILDKIT_HOST", tt.said)
		t.Setenv("BUILDKIT_TLS_DIR", "certificates")
		c, err := Load()
		if tt.refused != "" {
			if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%.60s: got %v, want %s", tt.said, err, tt.refused)
			}
			continue
		}
		if err != nil || !slices.Equal(c.BuildKit.Addresses, strings.Fields(tt.want)) {
			t.Errorf("%s: got %v, %v", tt.said, c, err)
		} else if tt.want != "" && c.BuildKit.TLSDir != filepath.Join(root, "certificates") {
			t.Errorf("certificates are in %s", c.BuildKit.TLSDir)
		}
	}
	for _, said := range []string{"tcp://me:pass,word@a:1,", "tcp://me:pass@a:1,tcp://me:word@b:1," + strings.Repeat(",tcp://a:1", maxAddresses)} {
		t.Setenv("BUILDKIT_HOST", said)
		if _, err := Load(); !errors.Is(err, ErrUsage) || strings.Contains(err.Error(), "pass") || strings.Contains(err.Error(), "word") {
			t.Errorf("it tells the password: %v", err)
		}
	}
	t.Setenv("BUILDKIT_HOST", "tcp://a:1")
	t.Setenv("BUILDKIT_TLS_SERVER_NAME", "worker.example")
	if c, err := Load(); err != nil || c.BuildKit.TLSServerName != "worker.example" {
		t.Errorf("got %v, %v", c, err)
	}
	t.Setenv("BUILDKIT_TLS_DIR", "")
	if _, err := Load(); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "BUILDKIT_TLS_SERVER_NAME") {
		t.Errorf("a name without certificates: %v", err)
	}
}
