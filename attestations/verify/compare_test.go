package verify

import (
	"crypto"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/policies"
	"palisade/attestations/policy"
	"palisade/attestations/signing"
)

// Stock cosign is timed where it is given; .ci/run builds both versions.
var clis = flag.String("cosign", "", "comma-separated `programs` of cosign to time beside this package, over the release of -release or a small one")

// A contest is a signed release, and how both sides verify its bundles: that of
// the index, and three of each artifact.
type contest struct {
	dir     string
	index   *artifact.Manifest
	policy  policy.Policy
	trust   Trust
	bundles int
}

func newContest(b *testing.B) *contest {
	b.Helper()
	key := newKey(b)
	c := &contest{trust: Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}}
	if *releaseDir == "" {
		c.dir, c.policy = newWorld(b, key, "hardened", "vanilla").write(b), testPolicy(b)
	} else {
		c.dir, c.policy = signedCopy(b, key), must(policies.Load("workstation"))(b)
	}
	public := must(signing.MarshalPublicKey(key.Public()))(b)
	for name, data := range map[string][]byte{"cosign.pub": public, "trusted_root.json": bundle.EmptyRoot()} {
		if err := os.WriteFile(filepath.Join(c.dir, name), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	f := must(os.Open(filepath.Join(c.dir, indexName)))(b)
	defer f.Close()
	c.index = must(artifact.ParseManifest(f))(b)
	c.bundles = 1 + 3*len(c.index.Artifacts)
	return c
}

// ours opens every bundle in one process, as Release does: files hashed, and
// statements parsed and held against their artifacts.
func (c *contest) ours(b *testing.B) error {
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	open, err := c.trust.opener(c.policy)
	if err != nil {
		return err
	}
	v := newVerifier(directory{root}, c.policy, open, Trust{Now: now})
	index, _, err := v.index(&Report{})
	if err != nil {
		return err
	}
	errs := make([]error, len(index.Artifacts))
	each(index.Artifacts, func(i int, r artifact.Record) { errs[i] = v.bundles(b, r) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if len(v.opened) != c.bundles {
		return fmt.Errorf("%d bundles opened, not %d", len(v.opened), c.bundles)
	}
	return nil
}

// bundles does for one artifact what three calls of cosign do.
func (v *verifier) bundles(b *testing.B, r artifact.Record) error {
	d, _, err := v.dir.digest(b.Context(), r.Name)
	if err == nil {
		_, err = v.signature(r.Name, d, ErrSignature)
	}
	if err == nil {
		_, _, err = v.attestedDocument(r.Name, r.Documents, subjectOf(r.Name, r.Digest))
	}
	if err == nil {
		_, _, err = v.attestedProvenance(r)
	}
	return err
}

// cosign opens every bundle, with a process for each, as scripts/verify.sh does.
func (c *contest) cosign(b *testing.B, program string) error {
	call := func(verb, file, bundle string, more ...string) error {
		args := append([]string{verb, "--key", "cosign.pub", "--insecure-ignore-tlog", "--trusted-root", "trusted_root.json", "--bundle", bundle}, more...)
		cmd := exec.CommandContext(b.Context(), program, append(args, file)...)
		cmd.Dir, cmd.Env = c.dir, []string{"HOME=" + c.dir}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd, err, out)
		}
		return nil
	}
	err := call("verify-blob", indexName, indexName+bundleSuffix)
	for _, r := range c.index.Artifacts {
		if err == nil {
			err = call("verify-blob", r.Name, r.Name+bundleSuffix)
		}
		if err == nil {
			err = call("verify-blob-attestation", r.Name, bundleOf(r.Name+spdxSuffix), "--type", "spdxjson")
		}
		if err == nil {
			err = call("verify-blob-attestation", r.Name, bundleOf(r.Name+provenanceSuffix), "--type", "slsaprovenance1")
		}
	}
	return err
}

// The same bundles, verified here and by stock cosign, side by side in one run;
// "ratio" is cosign's time over ours. The deep checks of Release stand apart:
// cosign makes none, and they are bound by reading and hashing.
//
//	go test -run '^$' -bench . ./attestations/verify -args -cosign A,B [-release dist]
func Benchmark(b *testing.B) {
	if *clis == "" {
		b.Skip("no -cosign given")
	}
	c := newContest(b)
	per := func(b *testing.B, do func() error) time.Duration {
		for b.Loop() {
			if err := do(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(c.bundles), "bundles/op")
		return b.Elapsed() / time.Duration(b.N)
	}
	var ours time.Duration
	b.Run("palisade", func(b *testing.B) { ours = per(b, func() error { return c.ours(b) }) })
	for _, program := range strings.Split(*clis, ",") {
		b.Run(filepath.Base(program), func(b *testing.B) {
			if took := per(b, func() error { return c.cosign(b, program) }); ours > 0 {
				b.ReportMetric(float64(took)/float64(ours), "ratio")
			}
		})
	}
	b.Run("deep", func(b *testing.B) {
		per(b, func() error {
			_, err := Release(b.Context(), c.dir, c.policy, c.trust)
			return err
		})
	})
}
