package toolchain

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
)

// unpackedGo is a box whose Go was unpacked, and the zip file that held it.
func unpackedGo(t *testing.T) (*Box, artifact.Tool, modules.Module) {
	t.Helper()
	b, p := newBox(t)
	i, err := b.Go(t.Context(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	name, version, _ := strings.Cut(i.Package, "@")
	m, err := b.Modules.One(t.Context(), module.Version{Path: name, Version: version}, i.Hash)
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	return b, i.Tool, m
}

// Unpacking records the zip file, so that it need not be there later; where the
// record is missing it is made again.
func TestGoOrigin(t *testing.T) {
	b, tool, m := unpackedGo(t)
	zip, err := os.ReadFile(m.Zip)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(zip)
	want := Origin{Zip: artifact.DigestBytes(zip), SHA512: hex.EncodeToString(sum[:])}
	if err := os.Remove(b.originFile(tool)); err != nil {
		t.Fatalf("unpacking left no record: %v", err)
	}
	if got, err := b.GoOrigin(t.Context(), tool); err != nil || got != want {
		t.Errorf("made again: %+v, %v; want %+v", got, err, want)
	}
	proxytest.Remove(t, m.Zip)
	if got, err := b.GoOrigin(t.Context(), tool); err != nil || got != want {
		t.Errorf("as recorded: %+v, %v; want %+v", got, err, want)
	}
}

func TestGoOriginRefuses(t *testing.T) {
	b, tool, m := unpackedGo(t)
	whole, err := os.ReadFile(b.originFile(tool))
	if err != nil {
		t.Fatal(err)
	}
	for name, record := range map[string]string{
		"nothing":         "",
		"half":            string(whole[:len(whole)/2]),
		"no digest":       `{"sha512": "` + strings.Repeat("0", 128) + `"}`,
		"no SHA-512":      `{"zip": "` + m.ZipDigest.String() + `"}`,
		"half a SHA-512":  `{"zip": "` + m.ZipDigest.String() + `", "sha512": "` + strings.Repeat("0", 64) + `"}`,
		"a digit more":    `{"zip": "` + m.ZipDigest.String() + `", "sha512": "` + strings.Repeat("0", 129) + `"}`,
		"what is no hash": `{"zip": "` + m.ZipDigest.String() + `", "sha512": "` + strings.Repeat("x", 128) + `"}`,
	} {
		if err := os.WriteFile(b.originFile(tool), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := b.GoOrigin(t.Context(), tool); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), b.originFile(tool)+" is damaged; remove it and build again") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if err := os.Remove(b.originFile(tool)); err != nil {
		t.Fatal(err)
	}
	// Once between being checked and being recorded, then before.
	proxytest.Repack(t, m.Zip)
	if err := b.writeOrigin(tool, m); !errors.Is(err, modules.ErrChanged) {
		t.Errorf("of a zip file that was exchanged: %v", err)
	}
	if got, err := b.GoOrigin(t.Context(), tool); !errors.Is(err, modules.ErrChanged) {
		t.Errorf("of another zip file: %+v, %v", got, err)
	}
}
