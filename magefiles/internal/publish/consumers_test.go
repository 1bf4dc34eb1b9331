package publish

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/bcrypt"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/signing/keyfile"
	"palisade/attestations/verify/registry"
)

// Stock programs are asked where they are given; .ci/run has them.
var (
	clis    = flag.String("cosign", "", "comma-separated `programs` of cosign that have to agree")
	servers = flag.String("registry", "", "comma-separated `programs` of registries: distribution's, or Debian's docker-registry")
)

func programs(t testing.TB, list, name string) []string {
	t.Helper()
	if list == "" {
		t.Skip("no -" + name + " given")
	}
	return strings.Split(list, ",")
}

// A real server is a registry of others, and how it is reached.
type real struct {
	address, home string // home has docker's configuration
	options       Options
	flags         []string // of cosign
}

// start runs a registry; with TLS and a password, if it is to be closed.
func start(t testing.TB, program string, closed bool) real {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := real{address: l.Addr().String(), home: dir}
	l.Close()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp:\n  addr: %s\n", filepath.Join(dir, "storage"), r.address)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if closed {
		pool, cert, key := certificate(t, dir)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "htpasswd"), "ali:"+string(hash)+"\n")
		put(t, filepath.Join(dir, "config.json"), fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.address, base64.StdEncoding.EncodeToString([]byte("ali:open sesame"))))
		config += fmt.Sprintf("  tls: {certificate: %s, key: %s}\nauth: {htpasswd: {realm: palisade, path: %s}}\n", cert, key, filepath.Join(dir, "htpasswd"))
		r.flags = []string{"--registry-cacert", cert}
	}
	put(t, filepath.Join(dir, "config.yml"), config)
	cmd := exec.Command(program, "serve", filepath.Join(dir, "config.yml"))
	cmd.Env = []string{"OTEL_TRACES_EXPORTER=none"}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%.4000s", program, log.Bytes())
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", r.address); err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("HOME", dir)
	r.options = Options{Registry: r.address + "/palisade", Trust: trust(), Transport: transport, Keychain: authn.DefaultKeychain}
	return r
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func certificate(t testing.TB, dir string) (pool *x509.CertPool, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return pool, cert, key
}

func (r real) cosign(t testing.TB, program string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(args, r.flags...)...)
	cmd.Dir, cmd.Env = r.home, []string{"HOME=" + r.home, "DOCKER_CONFIG=" + r.home, "COSIGN_PASSWORD=correct horse"}
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// What is published to registries of others, stock cosign verifies there, the
// index and every manifest, by the commands that a consumer has.
func TestConsumers(t *testing.T) {
	rel := newRelease(t, "binary")
	for _, server := range programs(t, *servers, "registry") {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/closed=%t", filepath.Base(server), closed), func(t *testing.T) {
				r := start(t, server, closed)
				if closed {
					o := r.options
					o.Keychain = nil
					if _, err := Publish(context.Background(), o, rel.dir); !errors.Is(err, registry.ErrDenied) {
						t.Errorf("without a password: %v", err)
					}
				}
				mustPublish(t, r.options, rel)
				begun := time.Now()
				if again := mustPublish(t, r.options, rel); again.Sent != 0 {
					t.Errorf("sent again: %+v", again)
				}
				t.Logf("an unchanged image took %s", time.Since(begun))
				put(t, filepath.Join(r.home, "cosign.pub"), string(rel.key))
				put(t, filepath.Join(r.home, "trusted_root.json"), string(bundle.EmptyRoot()))
				put(t, filepath.Join(r.home, "other.pub"), string(publicKey(t, newSigner())))
				repository := r.address + "/palisade/beacon"
				refs := []string{repository + ":" + rel.image.Version}
				for _, d := range rel.digests() {
					refs = append(refs, repository+"@"+d.String())
				}
				for _, program := range programs(t, *clis, "cosign") {
					for _, ref := range refs {
						for _, command := range []string{"verify", "verify-attestation --type spdxjson", "verify-attestation --type slsaprovenance1"} {
							for key, good := range map[string]bool{"cosign.pub": true, "other.pub": false} {
								args := append(strings.Fields(command), "--key", key, "--insecure-ignore-tlog", "--trusted-root", "trusted_root.json", ref)
								if out, ok := r.cosign(t, program, args...); ok != good {
									t.Errorf("%s %q: %t, want %t\n%.2000s", filepath.Base(program), args, ok, good, out)
								}
							}
						}
					}
				}
			})
		}
	}
}

// A bundle that cosign attaches lies there as one of ours does, byte for byte
// but for its time.
func TestForm(t *testing.T) {
	server := programs(t, *servers, "registry")[0]
	for _, program := range programs(t, *clis, "cosign") {
		t.Run(filepath.Base(program), func(t *testing.T) {
			r, rel := start(t, server, false), newRelease(t, "binary")
			mustPublish(t, r.options, rel)
			private, _, err := keyfile.Generate([]byte("correct horse"))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(r.home, "cosign.key"), string(private))
			put(t, filepath.Join(r.home, "predicate.json"), `{"spdxVersion":"SPDX-2.3"}`)
			to, err := registry.Connect(context.Background(), r.address+"/palisade/beacon", registry.Options{})
			if err != nil {
				t.Fatal(err)
			}
			before, err := to.Referrers(context.Background(), rel.image.Index)
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"attest", "--key", "cosign.key", "--type", "spdxjson", "--predicate", "predicate.json", "--new-bundle-format", "--tlog-upload=false", "--yes"}
			if strings.Contains(program, "v3") {
				args = append(args, "--use-signing-config=false")
			}
			if out, ok := r.cosign(t, program, append(args, r.address+"/palisade/beacon@"+rel.image.Index.String())...); !ok {
				t.Fatalf("%s", out)
			}
			after, err := to.Referrers(context.Background(), rel.image.Index)
			if err != nil || len(after) != len(before)+1 {
				t.Fatalf("%d referrers became %d: %v", len(before), len(after), err)
			}
			for _, d := range after {
				m, err := to.Manifest(context.Background(), d.String())
				if err != nil {
					t.Fatal(err)
				}
				compare(t, to, rel, m)
			}
		})
	}
}

// compare attaches the bundle of m anew.
func compare(t *testing.T, to *registry.Repository, rel *release, m registry.Manifest) {
	t.Helper()
	var doc v1.Manifest
	if err := json.Unmarshal(m.Data, &doc); err != nil {
		t.Fatal(err)
	}
	created, err := time.Parse(time.RFC3339, doc.Annotations["org.opencontainers.image.created"])
	if err != nil {
		t.Fatal(err)
	}
	all, err := to.Bundles(context.Background(), rel.image.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range all {
		if artifact.DigestBytes(data).String() != doc.Layers[0].Digest.String() {
			continue
		}
		index, err := to.Manifest(context.Background(), rel.image.Index.String())
		if err != nil {
			t.Fatal(err)
		}
		a, err := attach(document{index.MediaType, index.Digest, index.Data}, data, doc.Annotations["dev.sigstore.bundle.predicateType"], created.Unix())
		if err != nil || !bytes.Equal(a.manifest.data, m.Data) {
			t.Errorf("there is\n%s\nand not\n%s\n%v", m.Data, a.manifest.data, err)
		}
		return
	}
	t.Errorf("the bundle of %s is not there", m.Digest)
}
