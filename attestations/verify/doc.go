// Package verify tells whether a release is what a policy demands. What it
// passes was signed by somebody whom the policy names; is complete; was built
// as the policy wants it; and holds what its bill of materials and its
// provenance say, down to the modules in each binary. It needs the release, a
// policy and, where certificates are used, a trusted root: no network, no
// clock, no program of others, and nothing of what builds.
//
// Release verifies a directory, File one artifact or image in it. Both read names from
// outside through os.Root, follow no symbolic link, and bound everything.
// Image verifies an image that is in a registry, without the release that it is
// of; package registry reaches one.
//
// # Checks
//
// Each has a number and a name, and each refusal an error of its own. First of
// the release:
//
//  1. index: release.json is signed (ErrIndexSignature) and well-formed, and each
//     artifact is called after its component, version, variant and platform (ErrIndex).
//  2. files: every file that it names is there (ErrMissing), no other is
//     (ErrUnlisted), each is a regular file (ErrNotFile), and SHA256SUMS agrees
//     (ErrSums). The folder bin of loose binaries may be left out as a whole, and so
//     may those of rebuilders, which hold bundles alone, 32 at most (ErrTooLarge).
//  18. fresh: the index of releases that is given is signed (ErrReleases), of this
//     distribution (ErrForeign), no older than one that was seen, and has not expired;
//     it lists this release.json, with these images, of the commit that the provenance
//     names (ErrCommit), at the tag that its workflow, if it names one, ran for
//     (ErrTag); the release was not withdrawn, and is the newest, or the one asked
//     for: errors of package releases. Where none is
//     given, that is refused if the policy demands one, a number was seen or a version
//     is asked for (ErrNoReleases); else the check is not made. How long it holds is
//     in the index: the policy's maximum age does not judge it.
//
// Then of each artifact:
//
//  3. digest: the file is the one that the index names (ErrDigest).
//  4. signature: of the file, by somebody whom the policy names (ErrSignature).
//  5. spdx: the attestation that holds the bill of materials is signed
//     (ErrAttestation), of that type (ErrPredicateType) and about this artifact and
//     nothing else (ErrSubject); the document beside it is the one that the index
//     names (ErrDocument).
//  6. provenance: likewise; it is well-formed (ErrProvenance), and the file beside
//     it is what was signed, byte for byte (ErrDocument).
//  7. record: the provenance says what the index says (ErrRecord).
//  8. policy: the provenance is acceptable: errors of package policy; it is hermetic
//     only by what the builder saw, and by promise where a worker compiled; it names a
//     patch of every module that was changed (ErrProvenance), but for an interface
//     that was put into upstream's.
//  9. members: the archive is safe to unpack (ErrArchive, ErrMemberName,
//     ErrMemberType, ErrDuplicate, ErrTooLarge) and holds exactly the files of
//     the index, to the byte (ErrMember).
//  10. binaries: whatever can be run is one of the binaries of the index, and the
//     build info in each is what the index says of it, and of the artifact's
//     platform, Go and source; every patched module is in one as it was patched, and
//     nothing else that was made here stands in for a module (ErrBuildInfo).
//  11. contents: the bill of materials lists these files, modules and patches,
//     with these digests, and no others, and what is embedded beside modules
//     (ErrContents), and is the one that was signed, value for value (ErrDocument).
//  12. test-result: if there is one it is signed, about a binary of this artifact
//     (ErrSubject) and of this archive, and says one thing (ErrTestResult); its
//     verdict is the policy's to judge.
//  13. loose: the binaries in bin and their documents are those of the archive
//     (ErrLoose).
//  15. rebuilt: as many of the rebuilders whom the policy names as it demands
//     attest that they built it again from this provenance, and got all that this
//     names, byte for byte (policy.ErrRebuilders). Those who may be one and the same
//     count once. Bundles of others, and those that are older than the policy allows,
//     are passed over and counted. One that is believed, and of something else, is a
//     refusal (ErrRebuild). Of a policy that demands none the check is not made.
//  16. workflow: where the provenance names the run of a workflow, it is signed with
//     a certificate that names the same one, in every field (ErrWorkflow): a key cannot
//     show it. Where the policy demands a workflow, one is named (ErrNoWorkflow). Of a
//     provenance that names none, under a policy that demands none, the check is not
//     made.
//  17. vex: the OpenVEX document, if there is one or the policy demands one, is
//     signed, about this artifact and its binaries (ErrSubject) and about modules that
//     these link (ErrVEX), and is the file beside it (ErrDocument); that it leaves
//     nothing open, and is of data that is new enough, is the policy's to judge.
//
// Of each container image the same, where it differs as follows, and one more:
//
//  7. record: its provenance says what the index says, and so does that of each
//     archive that it is made of.
//  8. policy: the provenance of the image and those of the archives are acceptable.
//  9. members: the file is an OCI image layout that is whole, and nothing else
//     (ErrImage, with the errors of package ocilayout and those of an archive);
//     index, manifests, configurations and layers are those of the index, to the
//     byte (ErrImage), and so are the files in the layers (ErrMember); annotations
//     and labels say what it is; it runs as a user who is not root and who may
//     write to its volumes and /tmp alone, and can run its binaries alone (ErrImage).
//  10. binaries: of each platform they are those of its archive, and nothing else
//     can be run (ErrBuildInfo); so are the licences of the component and the
//     archive's bill of materials (ErrImage).
//  11. contents: the bill of materials lists these files, platforms and certificates,
//     and refers to the bills of the archives that the image holds (ErrContents).
//  12. test-result: those of the archives.
//  14. carried: the bundles that registries carry with the index and the manifests
//     are signed, each about that digest alone, and say what is said of the file; a
//     test result is of the component's own binary in an archive of the image.
//     The folder that holds them may be left out as a whole. A provenance among them
//     that names a workflow shows it by its own certificate (ErrWorkflow).
//  15. rebuilt: of the image; what is attested of that is of its archives as well.
//  16. workflow: of the provenance of the image, and of each archive's.
//  17. vex: those of the archives.
//
// A check whose ground another one took away is not made, and is shown as SKIP. So
// is 5 where the policy does not demand it and there is no attestation; a document
// that lies there is held against the index all the same (ErrDocument).
// No bundle that is believed may be older than the policy allows (errors of package
// policy), but for that of the index of releases.
//
// # Limits
//
// What passes is what was there when it was read: an archive is hashed and
// unpacked through one handle, so that nothing can take its place in between.
// Whoever can write to the folder can change it afterwards: verify a copy that
// nobody else can write to. A statement is held to the form that this version
// writes: a bill of materials of an older or another tool is refused, though it
// be a valid one.
//
// # Files
//
// Beside an artifact A lie A.sigstore.json, A.spdx.json, A.spdx.sigstore.json,
// A.provenance.json, A.provenance.sigstore.json and, where an audit ran,
// A.test-result.json and A.test-result.sigstore.json, and, where known
// vulnerabilities were looked for, A.vex.json and A.vex.sigstore.json; once there are release.json,
// release.json.sigstore.json, SHA256SUMS and, if there are notes, RELEASE_NOTES.md with its
// bundle; it is verified with the whole release, and has the digest that the index of
// releases lists, where there is that (ErrNotes). cosign.pub and trusted_root.json are for
// others: trust does not come with what is to be trusted. A key that the policy does not
// accept is refused (ErrKey); the other is not read. What rebuilders attest of A lies in the folder A.rebuilds, see
// predicates/rebuild.md. The index of releases lies in no release, but is given,
// see predicates/releases.md. Beside an image I.oci.tar lie the same but a test result,
// and the folder I.oci.d: in it, for the index and each manifest, a folder called
// by the hexadecimal digits of its digest with signature.sigstore.json,
// spdx.sigstore.json, provenance.sigstore.json and, where there is one of the
// archive, test-result.sigstore.json and vex.sigstore.json.
package verify

import (
	"errors"

	"palisade/attestations/unpack"
)

// ErrRefused is wrapped by every error of Release and File that means: do not
// use it. The others mean that nothing could be told.
var ErrRefused = errors.New("release refused")

// Why something is refused. Beside these there are those of packages policy,
// bundle, intoto, spdx, provenance and releases, which are wrapped along.
var (
	ErrIndex          = errors.New("release.json is not well-formed")
	ErrIndexSignature = errors.New("release.json is not signed by anybody whom the policy accepts")
	ErrMissing        = errors.New("file is missing")
	ErrUnlisted       = errors.New("file is not listed in release.json")
	ErrNotFile        = errors.New("not a regular file")
	ErrSums           = errors.New("SHA256SUMS does not agree with release.json")
	ErrDigest         = errors.New("file is not the one that release.json names")
	ErrSignature      = errors.New("not signed by anybody whom the policy accepts")
	ErrAttestation    = errors.New("attestation is not signed by anybody whom the policy accepts")
	ErrPredicateType  = errors.New("attestation is of another type")
	ErrSubject        = errors.New("attestation is about something else")
	ErrDocument       = errors.New("file is not what the attestation beside it holds")
	ErrProvenance     = errors.New("provenance is not well-formed")
	ErrRecord         = errors.New("provenance does not say what release.json says")
	ErrArchive        = unpack.ErrArchive
	ErrMemberName     = unpack.ErrName
	ErrMemberType     = unpack.ErrType
	ErrDuplicate      = unpack.ErrDuplicate
	ErrTooLarge       = unpack.ErrTooLarge
	ErrMember         = errors.New("archive does not hold what release.json says")
	ErrBuildInfo      = errors.New("binary does not hold what release.json says")
	ErrContents       = errors.New("bill of materials does not say what the artifact holds")
	ErrTestResult     = errors.New("test result is not well-formed")
	ErrImage          = errors.New("image is not what is said of it, or breaks a rule of images")
	ErrLoose          = errors.New("file in bin is not that of the archive")
	ErrKey            = errors.New("public key in the release is none that the policy accepts")
	ErrNotes          = errors.New("release notes are not those of the release")
	ErrRebuild        = errors.New("attestation of a rebuild is not one of this artifact")
	ErrWorkflow       = errors.New("the workflow that the provenance names did not sign it")
	ErrNoWorkflow     = errors.New("the provenance names no workflow, and the policy demands one")
)
