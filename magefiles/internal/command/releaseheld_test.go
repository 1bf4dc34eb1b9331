package command

import (
	"errors"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/handover"
	"palisade/magefiles/internal/release"
)

// What release.json does not account for is not signed, and nothing else than the
// plan has is.
func TestAccounted(t *testing.T) {
	cell := release.Cell{Component: "hello", Version: "1.0.0-palisade.1", Platform: artifact.Platform{OS: "linux", Arch: "amd64"}, Variant: "hardened", Recipe: ofNothing, Shard: handover.Shard{Number: 1, Of: 1}}
	name := "hello-1.0.0-palisade.1.linux-amd64.tar.gz"
	of := func(files ...string) *signatory {
		return &signatory{
			step: &step{plan: release.Plan{Distribution: "palisade", Shards: 1, Cells: []release.Cell{cell}}},
			manifest: &artifact.Manifest{Distribution: "palisade", Artifacts: []artifact.Record{{
				Name: name, Component: cell.Component, Version: cell.Version, Platform: cell.Platform, Variant: cell.Variant, Recipe: cell.Recipe,
				Build:     artifact.Invocation{Sandbox: artifact.Sandbox{Hermetic: true}},
				Documents: []artifact.File{{Name: name + ".spdx.json", Digest: ofNothing}},
			}}},
			assembled: handed(t, handover.Header{Step: handover.Assemble}, files...),
		}
	}
	all := []string{"dist/release.json", "dist/SHA256SUMS", "dist/RELEASE_NOTES.md", "dist/" + name, "dist/" + name + ".spdx.json", "dist/" + name + ".provenance.json", "dist/" + name + ".vex.json", "dist/" + name + ".test-result.json", handedDatabase + "/index/db.json"}
	if err := of(all...).accounted(); err != nil {
		t.Error(err)
	}
	for _, more := range []string{"dist/README.md", "dist/" + name + ".exe", "dist/" + name + ".sigstore.json", "dist/cosign.pub", "dist/bin/hello", "beside/releases.json", "x"} {
		if err := of(append([]string{more}, all...)...).accounted(); !errors.Is(err, release.ErrForeign) || !strings.Contains(err.Error(), more) {
			t.Errorf("%s: %v", more, err)
		}
	}
	r := of(all...)
	r.manifest.Artifacts = nil
	if err := r.accounted(); !errors.Is(err, release.ErrMissing) {
		t.Errorf("without the cell: %v", err)
	}
}
