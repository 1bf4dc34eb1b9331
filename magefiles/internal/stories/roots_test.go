package stories

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/tools/txtar"

	"palisade/attestations/artifact"
	"palisade/recipes"
)

// rootsModule stands for the certificate authorities that images trust: its
// form is theirs, and it has two, of which one is trusted for a while alone.
var rootsModule = module.Version{Path: "example.test/roots", Version: "v0.0.0-20260102030405-0123456789ab"}

// rootsFiles are the files of that module, but for its licence and go.mod,
// which are in testdata/modules.txtar.
func rootsFiles() ([]txtar.File, error) {
	var list strings.Builder
	var all []byte
	list.WriteString("package bundle\n\nvar unparsedCertificates = []unparsedCertificate{\n")
	for i, constraint := range []string{"", "\t\tdistrustAfter: \"2026-06-30T00:00:00Z\",\n"} {
		key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{byte(i)}, ed25519.SeedSize))
		name := pkix.Name{CommonName: fmt.Sprintf("Authority %d", i+1)}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: name, NotBefore: released, NotAfter: released.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&list, "\t{\n\t\tcn: %q,\n\t\tsha256Hash: %q,\n\t\tcertStartOff: %d,\n\t\tcertLength: %d,\n%s\t},\n", name, artifact.DigestBytes(der).Hex(), len(all), len(der), constraint)
		all = append(all, der...)
	}
	list.WriteString("}\n")
	at := rootsModule.String() + "/bundle/"
	return []txtar.File{{Name: at + "bundle.go", Data: []byte(list.String())}, {Name: at + "bundle.der", Data: all}}, nil
}

// trustRoots has a distribution.yaml pin that module in place of its own.
func trustRoots(text string, d *recipes.Distribution) (string, error) {
	all, err := packAll()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(p packed) bool { return p.path == rootsModule })
	for _, r := range [][2]string{
		{d.Roots.Module, rootsModule.Path}, {d.Roots.Version, rootsModule.Version},
		{d.Roots.Sum, all[i].sum}, {d.Roots.Zip.String(), artifact.DigestBytes(all[i].zip).String()},
	} {
		if strings.Count(text, r[0]) != 1 {
			return "", fmt.Errorf("distribution.yaml does not hold %q once", r[0])
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	return text, nil
}
