// Package registries puts the images of dist/ into registries of others, on
// loopback, and has those who want one fetch and verify it by the commands of
// README.md. It is a test alone:
//
//	go tool mage image -component=node_exporter
//	go build -C .ci/registries -o BIN/ tool
//	cd .ci/registries && go test . -distribution BIN/registry -cosign PROGRAM,PROGRAM -publisher KEY
//
// docker-registry, skopeo and umoci are those of Debian.
package registries

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	distDir       = flag.String("dist", "../../dist", "`directory` of the release")
	publisher     = flag.String("publisher", "../../dist/cosign.pub", "public key of who signed it, a `file`")
	cosigns       = flag.String("cosign", "", "comma-separated `programs`, each a stock cosign")
	debians       = flag.String("docker-registry", "docker-registry", "Debian's registry, a `program`")
	distributions = flag.String("distribution", "", "the registry of distribution v3, a `program`")
	palisade      = flag.String("palisade", "", "the compiled magefiles, a `program` (default: go tool mage, in the checkout)")
)

const (
	example  = "registry.example/palisade" // of README.md
	another  = "another.example/palisade"
	commands = 3 * time.Minute // what one may take
)

// Everything that README.md says of registries works on each of them, and
// pushing again sends nothing; an image that is not what was signed is refused,
// for that reason, by everybody who verifies.
func TestRegistries(t *testing.T) {
	if *cosigns == "" || *distributions == "" {
		t.Fatal("say which programs: -cosign PROGRAM,PROGRAM -distribution PROGRAM")
	}
	w := newWorld(t)
	publishing, stock, copying := section(t, "### Publishing"), section(t, "### An image with stock tools"), section(t, "### Elsewhere")
	all := startAll(t, w.home)
	for i, s := range all {
		t.Run(s.name, func(t *testing.T) {
			w := w.at(s.address + "/palisade")
			w.works(t, publishing)
			before := s.sent(t)
			w.works(t, publishing)
			if again := s.sent(t)[len(before):]; len(before) == 0 || len(again) > 0 {
				t.Errorf("%d requests sent something, and then %q", len(before), again)
			}
			w.verifies(t, stock)
			w.forged(t, s, slices.Concat(stock, only(t, publishing, "mage verify -image=")))
			next := all[(i+1)%len(all)]
			w.copies(t, copying, stock, s, next.address+"/copied")
		})
	}
	t.Run("without a password", func(t *testing.T) {
		w := w.at(all[1].address + "/palisade")
		write(t, filepath.Join(w.home, ".docker", "config.json"), "{}")
		for _, c := range publishing {
			if out, status := w.run(t, c); strings.Contains(c.text, "mage ") && (status != 1 || !strings.Contains(out, "the registry refuses these credentials")) {
				t.Errorf("%s: status %d: %s", c.text, status, out)
			}
		}
	})
}

// An image is a file too: stock tools unpack it, and find the files there that
// release.json names.
func TestFile(t *testing.T) {
	w := newWorld(t)
	write(t, filepath.Join(w.home, ".config", "containers", "policy.json"), `{"default":[{"type":"insecureAcceptAnything"}]}`)
	w.works(t, section(t, "### Looking inside"))
	unpacked := filepath.Join(w.dir, "unpacked", "rootfs")
	found := 0
	for _, m := range members(t) {
		found++
		data, err := os.ReadFile(filepath.Join(unpacked, m.Name))
		if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); err != nil || sum != m.Digest {
			t.Errorf("%s is %s, want %s: %v", m.Name, sum, m.Digest, err)
		}
	}
	files := 0
	err := filepath.WalkDir(unpacked, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil || found == 0 || files != found {
		t.Errorf("%d files were unpacked, and release.json names %d: %v", files, found, err)
	}
}

// A world is a folder in which somebody works who has the publisher's key.
type world struct {
	dir, home, bin string
	registry       string // that stands for the one of README.md
	copied         string // and for the other
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{dir: t.TempDir(), home: t.TempDir(), bin: t.TempDir()}
	dist, err := filepath.Abs(*distDir)
	if err == nil {
		err = os.Symlink(dist, filepath.Join(w.dir, "dist"))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.dir, "publisher.pub"), read(t, *publisher))
	return w
}

func (w world) at(registry string) world {
	w.registry = registry
	return w
}

// with is the world in which cosign is that program.
func (w world) with(t *testing.T, cosign string) world {
	t.Helper()
	w.bin = t.TempDir()
	program, err := filepath.Abs(cosign)
	if err == nil {
		err = os.Symlink(program, filepath.Join(w.bin, "cosign"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// run has a shell run a command. What Palisade does, it does in the checkout
// with the variables of this process.
func (w world) run(t *testing.T, c command) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commands)
	defer cancel()
	text := strings.NewReplacer(example, w.registry, another, w.copied).Replace(c.variables + c.text)
	cmd := exec.CommandContext(ctx, "sh", "-c", text)
	cmd.Dir = w.dir
	cmd.Env = []string{"PATH=" + w.bin + ":" + os.Getenv("PATH"), "HOME=" + w.home, "LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")}
	if strings.HasPrefix(c.text, mage) {
		if cmd.Env = os.Environ(); *palisade == "" {
			cmd.Dir = "../.."
		} else {
			text = strings.Replace(text, mage, *palisade, 1)
		}
		cmd.Args[2] = text
		cmd.Env = append(cmd.Env, "PALISADE_DIST="+filepath.Join(w.dir, "dist"), "PALISADE_KEY="+filepath.Join(w.dir, "publisher.key"))
	}
	cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+filepath.Join(w.home, ".docker"), "SSL_CERT_FILE="+filepath.Join(w.home, "tls.crt"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s: %v, %v: %s", text, err, ctx.Err(), out)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

const mage = "go tool mage"

// works wants every command to end well.
func (w world) works(t *testing.T, all []command) {
	t.Helper()
	for _, c := range all {
		if out, status := w.run(t, c); status != 0 {
			t.Errorf("%s: status %d: %s", c.text, status, out)
		}
	}
}

// verifies wants that of every cosign.
func (w world) verifies(t *testing.T, stock []command) {
	t.Helper()
	for program := range strings.SplitSeq(*cosigns, ",") {
		w.with(t, program).works(t, stock)
	}
}

// A forgery is what somebody made of a registry's content, and what is said of
// it.
type forgery struct {
	folder         string
	make           func(t *testing.T, from, to forger)
	cosign, verify *regexp.Regexp
}

var forgeries = []forgery{
	{
		folder: "unsigned", // another image, and nothing of it
		make: func(t *testing.T, from, to forger) {
			to.other(t, tag, from.index(t, tag))
		},
		cosign: regexp.MustCompile(`no signatures found|no matching attestations: ?\n`),
		verify: regexp.MustCompile(`(?m)^FAIL .* 4 signature: .*nothing that is attached to sha256:[0-9a-f]{64} is a signature, \S+$`),
	},
	{
		folder: "moved", // another image, and what was said of the true one
		make: func(t *testing.T, from, to forger) {
			index := from.index(t, tag)
			for i, d := range to.other(t, tag, index) {
				for _, a := range from.bundles(t, descriptors(t, index)[i].Digest) {
					to.attach(t, a, d)
				}
			}
		},
		cosign: regexp.MustCompile(`artifact digests? do(?:es)? not match`),
		verify: regexp.MustCompile(`(?m)^FAIL .* 4 signature: .*: attestation is about something else: `),
	},
	{
		folder: "changed", // the true image, and a letter of each signature is another
		make: func(t *testing.T, from, to forger) {
			index := from.index(t, tag)
			to.push(t, tag, index)
			for _, d := range descriptors(t, index) {
				for _, a := range from.bundles(t, d.Digest) {
					a.bundle = flipped(t, a.bundle)
					to.attach(t, a, d)
				}
			}
		},
		cosign: regexp.MustCompile(`accepted signatures do not match threshold`),
		verify: regexp.MustCompile(`(?m)^FAIL .* 4 signature: .*: signature does not verify: `),
	},
}

var signature = regexp.MustCompile(`"sig": ?"[A-Za-z0-9+/]{20}`)

func flipped(t *testing.T, bundle []byte) []byte {
	t.Helper()
	at := signature.FindIndex(bundle)
	if at == nil {
		t.Fatalf("there is no signature in %.300s", bundle)
	}
	other := slices.Clone(bundle)
	if other[at[1]-1]++; other[at[1]-1] > 'Z' || other[at[1]-1] < 'A' {
		other[at[1]-1] = 'A'
	}
	if bundle[at[1]-1] == 'A' {
		other[at[1]-1] = 'B'
	}
	return other
}

// forged wants every command to refuse each forgery, and all by the key of
// somebody else.
func (w world) forged(t *testing.T, s server, all []command) {
	t.Helper()
	from := newForger(t, s, w.home, "palisade")
	for _, f := range forgeries {
		f.make(t, from, newForger(t, s, w.home, f.folder))
		w.at(s.address+"/"+f.folder).refuses(t, f.folder, all, f.cosign, f.verify)
	}
	good := read(t, filepath.Join(w.dir, "publisher.pub"))
	write(t, filepath.Join(w.dir, "publisher.pub"), strangersKey(t))
	w.refuses(t, "a stranger's key", all, regexp.MustCompile(`accepted signatures do not match threshold`),
		regexp.MustCompile(`(?m)^FAIL .* 4 signature: .*: signed by a key that is not trusted`))
	write(t, filepath.Join(w.dir, "publisher.pub"), good)
}

func (w world) refuses(t *testing.T, what string, all []command, cosign, verify *regexp.Regexp) {
	t.Helper()
	for i, program := range strings.Split(*cosigns, ",") {
		w := w.with(t, program)
		for _, c := range all {
			ours := strings.HasPrefix(c.text, mage)
			if ours && i > 0 || !ours && !strings.HasPrefix(c.text, "cosign ") {
				continue
			}
			says := cosign
			if ours {
				says = verify
			}
			if out, status := w.run(t, c); status == 0 || ours && status != 3 || !says.MatchString(out) {
				t.Errorf("%s, %s, %s: status %d without %q: %s", what, filepath.Base(program), c.text, status, says, out)
			}
		}
	}
}

// copies has skopeo copy the image, and where bundles have a tag, those.
func (w world) copies(t *testing.T, copying, stock []command, from server, to string) {
	t.Helper()
	w.copied = to
	w.works(t, copying)
	if copied := w.at(to); from.referrers {
		copied.refuses(t, "without its bundles", stock, forgeries[0].cosign, nil)
	} else {
		copied.verifies(t, stock)
	}
}
