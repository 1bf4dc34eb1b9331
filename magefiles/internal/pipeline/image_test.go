package pipeline

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
	"palisade/magefiles/internal/licences"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/proxytest"
	"palisade/recipes"
)

// Whom images trust is fetched once in a run, and has to be what is pinned, to
// the byte of its zip file.
func TestAuthorities(t *testing.T) {
	proxy := proxytest.New(t)
	v := module.Version{Path: "example.org/roots", Version: "v0.0.0-20260102030405-0123456789ab"}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	list := fmt.Sprintf("package bundle\n\nvar unparsedCertificates = []unparsedCertificate{{cn: \"\", sha256Hash: %q, certStartOff: 0, certLength: %d}}\n", artifact.DigestBytes(der).Hex(), len(der))
	pin := recipes.Roots{Module: v.Path, Version: v.Version}
	pin.Sum = proxy.Add(t, v.Path, v.Version, map[string]string{"go.mod": "module example.org/roots\n", "LICENSE": "", "bundle/bundle.go": list, "bundle/bundle.der": string(der)})
	cfg := here(t)
	cfg.Go, cfg.Fetch = proxytest.Go(t), proxy.Env()
	p := openWith(t, cfg)
	t.Cleanup(func() { proxytest.Remove(t, filepath.Join(cfg.Cache, "mod")) })
	p.plan.Distribution.Roots = &pin
	if _, err := p.authorities.look(t.Context()); !errors.Is(err, modules.ErrChanged) || !strings.Contains(err.Error(), "distribution.yaml pins") {
		t.Errorf("another zip file: %v", err)
	}
	m, err := p.hostGo.One(t.Context(), v, pin.Sum)
	if err != nil {
		t.Fatal(err)
	}
	pin.Zip = m.ZipDigest
	for range 2 {
		got, err := p.authorities.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(got.PEM), "-----BEGIN CERTIFICATE-----\n") || len(got.Left) > 0 || got.found.SHA512 == "" {
			t.Errorf("got %+v", got)
		}
		proxy.Stop()
		if err := os.RemoveAll(filepath.Join(cfg.Cache, "steps")); err != nil {
			t.Fatal(err)
		}
	}
}

// What distribution.yaml states of the authorities' licence is what documents
// and annotations say, for every recipe, and does not become a recipe's own.
func TestAuthoritiesVerdict(t *testing.T) {
	pin := recipes.Roots{Module: "example.org/roots", Version: "v0.0.0-20260102030405-0123456789ab"}
	p := &Pipeline{plan: &Plan{Distribution: &recipes.Distribution{Roots: &pin}}}
	whose := trusted{found: licences.Found{Expression: "ISC", Texts: []licences.Text{{Name: "LICENSE", Told: true, Licences: []string{"ISC"}}}}}
	whose.module.Version = module.Version{Path: pin.Module, Version: pin.Version}
	r := &recipes.Recipe{Name: "bell"}
	told, err := p.verdict(r, whose)
	if err != nil || told.Expression != "ISC" || told.Stated != "" {
		t.Errorf("nothing stated: %+v, %v", told, err)
	}
	pin.Licence, pin.Why = "ISC AND MPL-2.0", "the list is another's"
	stated, err := p.verdict(r, whose)
	if err != nil || stated.Expression != pin.Licence || stated.Stated != pin.Why || len(stated.Texts) != 1 || len(r.Licences) != 0 {
		t.Errorf("stated: %+v, %v, recipe %+v", stated, err, r.Licences)
	}
	if in := described(stated); in.Licence != pin.Licence || in.Stated != pin.Why || stated.PURL != spdx.GoPURL(pin.Module, pin.Version) {
		t.Errorf("described as %+v", in)
	}
	pin.Licence = "ISC"
	if _, err := p.verdict(r, whose); !errors.Is(err, licences.ErrStatement) {
		t.Errorf("what its own files tell: %v", err)
	}
}
