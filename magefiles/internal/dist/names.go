package dist

import (
	"path"
	"strings"

	"palisade/attestations/artifact"
)

// What a release has once.
const (
	Index       = "release.json"
	Sums        = "SHA256SUMS"
	PublicKey   = "cosign.pub"
	TrustedRoot = "trusted_root.json"
)

// What the name of an archive has behind it in that of what is said of it.
const (
	DocumentSuffix   = ".spdx.json"
	provenanceSuffix = ".provenance.json"
	resultSuffix     = ".test-result.json"
	vexSuffix        = ".vex.json"
	bundleSuffix     = ".sigstore.json"
)

// BinDir is where an artifact's loose binaries lie, below the directory.
func BinDir(r artifact.Record) string { return path.Join("bin", r.Platform.Slug(), r.Variant) }

// Document is where the SPDX document of an artifact's archive lies, or of one
// of its binaries, below the directory.
func Document(r artifact.Record, binary string) string {
	if binary == "" {
		return r.Name + DocumentSuffix
	}
	return path.Join(BinDir(r), binary) + DocumentSuffix
}

// Provenance is where the provenance of an artifact lies.
func Provenance(r artifact.Record) string { return r.Name + provenanceSuffix }

// TestResult is where the result of an audit lies.
func TestResult(r artifact.Record) string { return r.Name + resultSuffix }

// VEX is where it lies which known vulnerabilities affect an artifact.
func VEX(r artifact.Record) string { return r.Name + vexSuffix }

// ImageDocument is where the SPDX document of an image lies.
func ImageDocument(i artifact.Image) string { return i.Name + DocumentSuffix }

// ImageProvenance is where the provenance of an image lies.
func ImageProvenance(i artifact.Image) string { return i.Name + provenanceSuffix }

// A Carried is a bundle that a registry keeps with an image's index, or with
// the image of a platform.
type Carried string

// What registries carry.
const (
	CarriedSignature  Carried = "signature"
	CarriedDocument   Carried = "spdx"
	CarriedProvenance Carried = "provenance"
	CarriedTestResult Carried = "test-result" // with the image of a platform whose binary was audited
	CarriedVEX        Carried = "vex"         // with the image of a platform, of whose archive it is said
)

// ImageBundle is where a bundle lies that is carried with the index or image
// manifest that has this digest.
func ImageBundle(i artifact.Image, of artifact.Digest, what Carried) string {
	return path.Join(i.BundlesDir(), of.Hex(), string(what)+bundleSuffix)
}

// Rebuilds is the folder of what others attest who built again what lies in the
// file called name, an artifact or an image. Nobody here writes to it, and it
// goes when that file or its provenance does.
func Rebuilds(name string) string { return artifact.RebuildsDir(name) }

// isBundles reports whether a folder called name holds what registries carry.
func isBundles(name string) bool { return strings.HasSuffix(name, artifact.BundlesSuffix) }

// isRebuilds reports whether a folder called name holds what rebuilders attest.
func isRebuilds(name string) bool { return strings.HasSuffix(name, artifact.RebuildsSuffix) }

// Bundle is where the signature of a file lies, or the bundle that a statement
// is signed in.
func Bundle(name string) string {
	for _, statement := range []string{DocumentSuffix, provenanceSuffix, resultSuffix, vexSuffix} {
		if strings.HasSuffix(name, statement) {
			name = strings.TrimSuffix(name, ".json")
		}
	}
	return name + bundleSuffix
}

// subjectOf is the file that a file called name, or a folder of bundles, says
// something of: itself, if that is an archive or an image.
func subjectOf(name string) string {
	if image, ok := strings.CutSuffix(name, artifact.BundlesSuffix); ok {
		return image + artifact.ImageSuffix
	}
	if rebuilt, ok := strings.CutSuffix(name, artifact.RebuildsSuffix); ok {
		return rebuilt
	}
	for _, said := range []string{DocumentSuffix, provenanceSuffix, resultSuffix, vexSuffix} {
		for _, suffix := range []string{said, Bundle(said)} {
			if subject, ok := strings.CutSuffix(name, suffix); ok {
				return subject
			}
		}
	}
	return strings.TrimSuffix(name, bundleSuffix)
}
