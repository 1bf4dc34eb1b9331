//go:build linux

package sigstore_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// index is as much of a release.json as scripts/verify.sh reads: one artifact X.
func index(file []byte) []byte {
	return fmt.Appendf(nil, "{\n  \"artifacts\": [\n    {\n      \"name\": \"X\",\n      \"digest\": %q,\n      \"size\": %d\n    }\n  ]\n}\n", artifact.DigestBytes(file), len(file))
}

// consumers have stock cosign, by the commands that README.md shows for an
// identity, and no server. They leave out one check, that of logs of
// certificates, of which this Sigstore has none.
func consumers(t *testing.T, s stack, file []byte, bundles map[string][]byte, public []byte) {
	t.Helper()
	if *cosigns == "" {
		t.Log("no -cosign given: stock cosign was not asked")
		return
	}
	dir := t.TempDir()
	files := map[string][]byte{
		"trusted_root.json": s.Root, "cosign.pub": public, "dist/X": file, "dist/release.json": index(file),
		"scripts/verify.sh": must(os.ReadFile("../../../scripts/verify.sh"))(t),
	}
	for name, data := range bundles {
		files["dist/"+name] = data
	}
	write := func(name string, data []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range files {
		write(name, data)
	}
	commands := shown(t)
	other := must(os.ReadFile("../../bundle/testdata/public-good.json"))(t)
	for _, verb := range []string{"verify-blob", "verify-blob-attestation"} {
		// With a key that the services witnessed nothing is left out at all.
		option, bundle := "", "X.sigstore.json"
		if verb == "verify-blob-attestation" {
			option, bundle = "--type slsaprovenance1", "X.provenance.sigstore.json"
		}
		commands = append(commands, fmt.Sprintf("\"$COSIGN\" %s --key cosign.pub %s --trusted-root trusted_root.json --bundle dist/key.%s $artifact", verb, option, bundle))
	}
	for program := range strings.SplitSeq(*cosigns, ",") {
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "cosign"), []byte("#!/bin/sh\nexec \"$COSIGN\" \"$@\" --insecure-ignore-sct\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		program = must(filepath.Abs(program))(t)
		run := func(command, identity, issuer string) (string, int) {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + dir, "COSIGN=" + program, "artifact=dist/X", "identity=" + identity, "issuer=" + issuer}
			out, _ := cmd.CombinedOutput()
			return string(out), cmd.ProcessState.ExitCode()
		}
		for _, command := range commands {
			for _, tt := range []struct {
				name, identity, issuer string
				file, root             []byte
				reason                 string // a regular expression; empty where it is accepted
			}{
				{"as it was signed", email, s.Issuer, file, s.Root, ""},
				{"changed", email, s.Issuer, append(bytes.Clone(file), 'x'), s.Root, "invalid signature|digests? do(es)? not match|not the file that release.json names"},
				{"by somebody else", "x" + email, s.Issuer, file, s.Root, `expected SAN value "x`},
				{"by somebody else's issuer", email, s.Issuer + "0", file, s.Root, `expected issuer value "http://[0-9.:]+0"`},
				{"under another Sigstore", email, s.Issuer, file, other, "not enough verified log entries"},
			} {
				if strings.Contains(command, "--key") && (tt.identity != email || tt.issuer != s.Issuer) {
					continue
				}
				write("dist/X", tt.file)
				write("trusted_root.json", tt.root)
				out, status := run(command, tt.identity, tt.issuer)
				if (status == 0) != (tt.reason == "") || status > 1 || !regexp.MustCompile(tt.reason).MatchString(out) {
					t.Errorf("%s, %s: %s: status %d, want it %q: %s", program, tt.name, command, status, tt.reason, out)
				}
			}
			write("dist/X", file)
			write("trusted_root.json", s.Root)
		}
	}
}

// shown are the commands of README.md for an identity.
func shown(t *testing.T) (commands []string) {
	t.Helper()
	readme := must(os.ReadFile("../../../README.md"))(t)
	_, section, _ := strings.Cut(string(readme), "\n### By an identity\n")
	_, block, _ := strings.Cut(section, "\n```sh\n")
	block, _, _ = strings.Cut(block, "\n```\n")
	commands = strings.Split(block, "\n")
	if len(commands) < 3 || !strings.Contains(block, "verify.sh -i ") || !strings.Contains(block, "verify-blob ") || !strings.Contains(block, "verify-blob-attestation ") {
		t.Fatalf("README.md shows %q for an identity", commands)
	}
	return commands
}
