package stories

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/signing/sigstoretest"
	"palisade/magefiles/internal/miniature"
)

// consumers have a machine with a home of their own, and nothing of the release but
// its name: the tool, cosign, whom they believe, and a registry that they can read.
func (c *cut) consumers(t *testing.T) {
	dir := filepath.Join(c.Dir, "machines", "consumer")
	m := miniature.Machine{Dir: dir, Services: map[string]string{"registry": c.registry.address}}
	for name, data := range map[string][]byte{"work/trusted_root.json": c.stack.Root, "work/policy.yaml": c.policy(t), "home/none": nil} {
		if err := writeNew(filepath.Join(dir, name), data); err != nil {
			t.Fatal(err)
		}
	}
	file := pipelineURL + "/" + c.job.Repository + "/" + c.job.Workflow
	if c.provider == sigstoretest.GitLab {
		file = pipelineURL + "/" + c.job.Repository + "//" + c.job.Workflow
	}
	env := []string{
		"PATH=" + c.programs + ":/usr/bin:/bin", "HOME=" + filepath.Join(dir, "home"), "REGISTRY=" + c.registry.address + "/palisade",
		"identity=" + file + "@" + c.job.Ref, "issuer=" + c.stack.Issuer,
	}
	run := func(script string, more ...string) (out string, status int) {
		t.Helper()
		var b bytes.Buffer
		p, err := m.Start(t.Context(), miniature.Command{Args: []string{"/bin/sh", "-ec", script}, Dir: filepath.Join(dir, "work"), Env: append(env, more...), Stdout: &b, Stderr: &b})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Wait()
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			return b.String(), exit.ExitCode()
		}
		c.must(t, err)
		return b.String(), 0
	}

	const verify = "palisade release:verify -registry=$REGISTRY -version=1.0.0 -policy=policy.yaml -trustedRoot=trusted_root.json"
	for _, tt := range []struct {
		what, script string
		status       int
		says         string
	}{
		{"the newest release", verify + " -seen=1 -to=got && test -s got/release.json", 0, "PASSED"},
		{"an index that is older than what was seen", verify + " -seen=2", 3, "older than one that was seen"},
		{"a release that there is not", strings.Replace(verify, "1.0.0", "1.0.1", 1), 3, "1.0.1"},
		{"another identity", "sed -i 's|@refs/tags/v|@refs/heads/v|' policy.yaml; " + verify, 3, "not signed by anybody whom the policy accepts"},
	} {
		out, status := run(tt.script)
		if status != tt.status || !strings.Contains(out, tt.says) {
			t.Errorf("%s: status %d, want %d and %q:\n%s", tt.what, status, tt.status, tt.says, out)
		}
	}

	// Stock cosign, by the commands of README.md for an identity. This Sigstore keeps no
	// log of its certificates.
	for name, data := range c.handed(t, "sign") {
		if err := writeNew(filepath.Join(dir, "work", "dist", filepath.Base(name)), data); err != nil {
			t.Fatal(err)
		}
	}
	if *cosigns == "" {
		t.Log("no -cosign given: stock cosign was not asked")
		return
	}
	const who = " --certificate-identity $identity --certificate-oidc-issuer $issuer --use-signed-timestamps --trusted-root trusted_root.json --insecure-ignore-sct"
	for program := range strings.SplitSeq(*cosigns, ",") {
		program, err := filepath.Abs(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range []string{
			"$COSIGN verify-blob" + who + " --bundle $artifact.sigstore.json $artifact",
			"$COSIGN verify-blob" + who + " --bundle dist/release.json.sigstore.json dist/release.json",
			"$COSIGN verify-blob" + who + " --bundle dist/releases.json.sigstore.json dist/releases.json",
			"$COSIGN verify-blob-attestation" + who + " --type slsaprovenance1 --bundle $artifact.provenance.sigstore.json $artifact",
			"$COSIGN verify-blob-attestation" + who + " --type openvex --bundle $artifact.vex.sigstore.json $artifact",
			"$COSIGN verify" + who + " $REGISTRY/hello:1.2.3-palisade.1",
			"$COSIGN verify-attestation" + who + " --type slsaprovenance1 $REGISTRY/hello:1.2.3-palisade.1",
		} {
			artifact := fmt.Sprintf("artifact=dist/hello-1.2.3-palisade.1.%s.tar.gz", hostSlug())
			if out, status := run(script, "COSIGN="+program, artifact); status != 0 {
				t.Errorf("%s: status %d: %s\n%s", filepath.Base(program), status, script, out)
			}
			if out, status := run(strings.Replace(script, "$identity", "x$identity", 1), "COSIGN="+program, artifact); status == 0 {
				t.Errorf("%s believes anybody: %s\n%s", filepath.Base(program), script, out)
			}
		}
	}
}

func hostSlug() string { return artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}.Slug() }
