package consumers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	cosigns   = flag.String("cosign", "", "comma-separated `programs`, each a stock cosign")
	publisher = flag.String("publisher", "../../dist/cosign.pub", "public key of who signed the release, a `file`")
)

// A person who has stock tools alone verifies a release by the commands of
// README.md. These are taken from there, each with the variables that are set
// above it. Each has to pass on the release as it is, and to end with status 1,
// for the reason that it is, once any file that it goes by is another.
func TestStockCommands(t *testing.T) {
	if *cosigns == "" {
		t.Fatal("give stock programs of cosign, with: -cosign PROGRAM,PROGRAM")
	}
	commands := stockCommands(t)
	dir, first, last := takeRelease(t)
	for program := range strings.SplitSeq(*cosigns, ",") {
		shell := newShell(t, dir, program)
		for _, command := range commands {
			t.Run(filepath.Base(filepath.Dir(program))+"/"+command.text, func(t *testing.T) { command.holds(t, shell, first, last) })
		}
	}
}

// holds wants a command to pass, and to refuse each change of a file that it goes
// by.
func (c command) holds(t *testing.T, s shell, first, last string) {
	t.Helper()
	if out, status := s.run(t, c); status != 0 {
		t.Fatalf("status %d: %s", status, out)
	}
	for _, one := range c.changes(t, s, first, last) {
		good := replace(t, filepath.Join(s.dir, one.name), one.data)
		if out, status := s.run(t, c); status != 1 || !one.says.MatchString(out) {
			t.Errorf("%s, %s: status %d, want 1 and %q: %s", one.name, one.how, status, one.says, out)
		}
		replace(t, filepath.Join(s.dir, one.name), good)
	}
}

// A command is a line for the shell. Variables are set before it.
type command struct{ variables, text string }

var assignment = regexp.MustCompile(`^[a-z]+=\S+$`)

// stockCommands are the lines of every block of sh in the section.
func stockCommands(t *testing.T) (all []command) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(readme), "\n## With stock tools\n")
	if !ok {
		t.Fatal("README.md has no section \"With stock tools\"")
	}
	section, _, _ = strings.Cut(section, "\n##") // a subsection is another's
	variables, inside := "", false
	for line := range strings.Lines(section) {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), "  #")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case !inside || line == "":
		case assignment.MatchString(line):
			variables += line + "\n"
		default:
			all = append(all, command{variables, line})
		}
	}
	for _, verb := range []string{"verify.sh", "sha256sum", "cosign verify-blob ", "--type spdxjson", "--type slsaprovenance1", "test-result"} {
		if !slices.ContainsFunc(all, func(c command) bool { return strings.Contains(c.text, verb) }) {
			t.Errorf("README.md shows no %s", verb)
		}
	}
	return all
}

// takeRelease lays a release out as README.md has it: its files in dist, the
// publisher's key beside that, and the script where the checkout has it. It
// names the first and the last archive, whose files are of the same kinds as any
// other's.
func takeRelease(t *testing.T) (dir, first, last string) {
	t.Helper()
	dir = t.TempDir()
	err := filepath.WalkDir(*distDir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(*distDir, name)
		target := filepath.Join(dir, "dist", below)
		if err != nil || e.IsDir() {
			return errors.Join(err, os.MkdirAll(target, 0o755))
		}
		if os.Link(name, target) == nil { // what is changed here is replaced, not written to
			return nil
		}
		data, err := os.ReadFile(name)
		return errors.Join(err, os.WriteFile(target, data, 0o644))
	})
	if err != nil {
		t.Fatalf("%v; build first, with: go tool mage build", err)
	}
	for from, to := range map[string]string{*publisher: "publisher.pub", "../../scripts/verify.sh": "scripts/verify.sh"} {
		data, err := os.ReadFile(from)
		to = filepath.Join(dir, to)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	artifacts := openRelease(t).Artifacts
	return dir, artifacts[0].Name, artifacts[len(artifacts)-1].Name
}

// A shell runs commands with one cosign on PATH, and no home or configuration.
type shell struct{ dir, path string }

func newShell(t *testing.T, dir, program string) shell {
	t.Helper()
	bin := t.TempDir()
	absolute, err := filepath.Abs(program)
	if err == nil {
		err = os.Symlink(absolute, filepath.Join(bin, "cosign"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return shell{dir, bin + ":/usr/bin:/bin"}
}

func (s shell) run(t *testing.T, c command) (output string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", c.variables+c.text)
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=" + s.path, "HOME=" + filepath.Join(s.dir, "home")}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", c.text, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// signatures are what is changed in a bundle: a digit of the signature, and one
// of the statement. The digest in the signature of a file is not: cosign v2 goes
// by the file alone.
var signatures = regexp.MustCompile(`"(?:signature|sig|payload)": ?"[A-Za-z0-9+/]{20}`)

// A change is what else a file could hold, and what is said of it.
type change struct {
	name, how string
	data      []byte
	says      *regexp.Regexp
}

// What cosign of either version and verify.sh say.
var (
	notSigned = regexp.MustCompile(`invalid signature when validating|accepted signatures do not match threshold`)
	notAbout  = regexp.MustCompile(`artifact digests? do(es)? not match`)
	notOfType = regexp.MustCompile(notAbout.String() + `|invalid predicate type`)
	notOfFile = regexp.MustCompile(`not a signature of a file`)
	notAsIs   = regexp.MustCompile(notSigned.String() + `|` + notAbout.String() + `|: FAILED\n|not the file that release\.json names`)
)

// changes are, for each file that the command goes by, what else it could hold.
func (c command) changes(t *testing.T, s shell, first, last string) (all []change) {
	t.Helper()
	content := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, name := range c.files(t, s, last) {
		data := content(name)
		add := func(how string, data []byte, says *regexp.Regexp) { all = append(all, change{name, how, data, says}) }
		archive, kind, attested := strings.Cut(name, ".tar.gz.")
		switch {
		case name == "publisher.pub":
			add("somebody else's", strangersKey(t), notSigned)
		case strings.HasSuffix(name, ".sigstore.json"):
			found := signatures.FindAllIndex(data, -1)
			if len(found) == 0 {
				t.Fatalf("%s: no signature in %.300s", name, data)
			}
			for _, at := range found {
				add("changed in "+string(data[at[0]:at[0]+8]), flipped(data, at[1]-1), notSigned)
			}
			switch {
			case !attested:
			case kind == "sigstore.json":
				add("that of "+first, content("dist/"+first+"."+kind), notSigned)
				if strings.Contains(c.text, "verify.sh") {
					add("an attestation", content(archive+".tar.gz.provenance.sigstore.json"), notOfFile)
				}
			case kind == "provenance.sigstore.json":
				add("of another type", content(archive+".tar.gz.spdx.sigstore.json"), notOfType)
			default:
				add("of another type", content(archive+".tar.gz.provenance.sigstore.json"), notOfType)
			}
			if attested && kind != "sigstore.json" && kind != "test-result.sigstore.json" {
				add("that of "+first, content("dist/"+first+"."+kind), notAbout)
			}
		default:
			add("a byte changed", flipped(data, len(data)/2), notAsIs)
		}
	}
	return all
}

// files are those that the command goes by: a trusted root says nothing where
// there is a key.
func (c command) files(t *testing.T, s shell, last string) (all []string) {
	t.Helper()
	artifact, _ := s.run(t, command{c.variables, `printf %s "$artifact"`})
	if strings.Contains(c.text, "sha256sum") {
		return []string{artifact}
	}
	words, status := s.run(t, command{c.variables, "echo " + c.text})
	if status != 0 {
		t.Fatal(words)
	}
	for word := range strings.FieldsSeq(words) {
		if info, err := os.Stat(filepath.Join(s.dir, word)); err == nil && info.Mode().IsRegular() && word != "scripts/verify.sh" && filepath.Base(word) != "trusted_root.json" {
			all = append(all, word)
		}
	}
	if !strings.Contains(c.text, "verify.sh") {
		return all
	}
	all = append(all, "dist/release.json", "dist/release.json.sigstore.json")
	if artifact == "" { // it is asked for all
		return append(all, "dist/"+last)
	}
	return append(all, artifact, artifact+".sigstore.json", artifact+".spdx.sigstore.json", artifact+".provenance.sigstore.json")
}

// flipped is data with the byte at a place changed into another letter.
func flipped(data []byte, at int) []byte {
	changed := slices.Clone(data)
	if changed[at] == 'A' {
		changed[at] = 'B'
	} else {
		changed[at] = 'A'
	}
	return changed
}

func strangersKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// replace puts another file in place of one, and returns what that held.
func replace(t *testing.T, name string, data []byte) (old []byte) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name+"~", data, 0o644)
	}
	if err == nil {
		err = os.Rename(name+"~", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return old
}
