package consumers

import (
	"path/filepath"
	"strings"
	"testing"
)

// What is said of known vulnerabilities is an OpenVEX document to cosign, of the
// archive and of each binary in it, and nothing once a byte of it is another.
func TestOpenVEX(t *testing.T) {
	if *cosigns == "" {
		t.Fatal("give stock programs of cosign, with: -cosign PROGRAM,PROGRAM")
	}
	dir, first, last := takeRelease(t)
	for _, name := range []string{first, last} {
		if found, err := filepath.Glob(filepath.Join(dir, "dist", name+".vex.sigstore.json")); err != nil || len(found) != 1 {
			t.Fatalf("%s has no signed OpenVEX document, %v: look first, with: go tool mage vuln -vex, and go tool mage sign", name, err)
		}
	}
	verify := command{"artifact=dist/" + last + "\n", "cosign verify-blob-attestation --key publisher.pub --insecure-ignore-tlog --trusted-root dist/trusted_root.json --type openvex --bundle $artifact.vex.sigstore.json $artifact"}
	for program := range strings.SplitSeq(*cosigns, ",") {
		shell := newShell(t, dir, program)
		t.Run(filepath.Base(filepath.Dir(program)), func(t *testing.T) { verify.holds(t, shell, first, last) })
	}
}
