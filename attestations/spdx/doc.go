// Package spdx makes and reads the bill of materials of an artifact: one SPDX
// 2.3 document of an archive, a loose binary or a container image, made of what
// was observed in its build. A document leaves out nothing whose code or data is in what it
// describes, guesses nothing, and is the same to the byte for the same Input.
//
// Describe refuses an Input that would make a document say less (ErrInput):
// a binary without build info, a module that the build info names and the
// imports do not or the other way round, a package without licence, supplier
// or hash, a file without hashes. Parse refuses what is not SPDX 2.3
// (ErrDocument), whoever made it; Document.Check refuses what breaks a promise
// made here.
//
// # What is listed
//
// Packages: the artifact; every Go module that is linked into its binaries, and
// where a module was changed before it was compiled, the sealed module beside
// upstream's; the standard library; the web interface; every other package
// whose code or data is in a binary, with the evidence for it in its comment;
// the toolchains that ran. A binary's own document has that binary alone: its
// modules, and the web interface only if the binary holds it.
//
// Files: every member of the archive, every file of the web interface, every
// patch.
//
// Not listed are packages that were installed only so that a web interface
// could be built: the provenance names them. What Node and pnpm consist of is
// not resolved. The document's creationInfo says both.
//
// # Of an image
//
// The document of an image describes its index, which CONTAINS the image of
// each platform. That CONTAINS every file of its layers, those that an archive
// holds too as a COPY_OF the file in the archive's document, and is
// GENERATED_FROM the archive: an external document reference (6.6) names that
// document, which lies in the image too, so that nothing is said twice. Other
// packages are not listed, but for the module whose certificates are in the
// base layer; notices in a copy are left to the other document to say, and are
// among those of the platform's package all the same. The package URL of an
// index or image has its digest; packageFileName of an index is the file that
// the image lies in, that of a platform's image the place of its manifest in an
// image layout. Document.Image reads it for comparison with what is found.
//
// # Format
//
// JSON, UTF-8, indented by two spaces. The described package comes first,
// other packages and files are sorted by SPDXID, relationships by their ends
// behind DESCRIBES. Section numbers are those of the SPDX 2.3 specification.
//
//   - created (6.9) is SOURCE_DATE_EPOCH; creators (6.8) are the publisher, with
//     his address in parentheses, and Tool.
//   - documentNamespace (6.5) is <publisher's namespace>/spdx/<name>/<SHA-256 of
//     the document encoded with an empty namespace>.
//   - supplier (7.5): of a Go module the owner of the namespace that its path is
//     in: for github.com, gitlab.com, bitbucket.org, codeberg.org, gitee.com,
//     gitea.com and git.sr.ht "host/owner", otherwise the host. Of another
//     package who its metadata names, otherwise its scope or itself in its
//     registry. Of what was changed or made here the publisher; upstream is then
//     the originator (7.6). Each with an address in parentheses, as BSI
//     TR-03183-2 (5.2.2) asks for; quotes, backslashes and parentheses are left
//     out of names.
//   - checksums (7.10, 8.4), where there is a file, are hashes of the one that
//     packageFileName (7.4) or fileName names: SHA256 and SHA512, of files and the
//     artifact SHA1 as well, because 8.4 demands it. Of a module that is its zip
//     file, of an npm package its tarball, of the standard library the toolchain's
//     zip file. A go.sum hash is none of these: it is an external reference (7.21)
//     of category OTHER and type goModuleH1, an npm integrity one of type
//     npmIntegrity.
//   - packageVerificationCode and filesAnalyzed (7.8, 7.9): only of the artifact
//     and the web interface, whose files are listed.
//   - licenseConcluded is what the texts in the verified source say, or what the
//     recipe states with a reason, which is then in licenseComments;
//     licenseDeclared what the package's metadata says, or the same. A binary is
//     under the licences of all that is in it. NOASSERTION occurs only of a
//     toolchain whose texts could not be told: it is in no artifact.
//   - licenseInfoInFiles (8.6) is NOASSERTION but of the file that holds the
//     texts of all licences; licenseInfoFromFiles (7.14) is what that says.
//   - copyrightText is NONE where neither the texts that speak for what is linked
//     nor the heads of its files hold a notice; NOASSERTION of a package whose own
//     source was not read, and of a patch and a single file of upstream's or of
//     the web interface.
//   - downloadLocation (7.7) is NONE of what is to be had nowhere, as a sealed
//     module, which is no file either and so has no checksum; git+https of what a
//     recipe names by repository and revision; and NOASSERTION of the artifact:
//     where a publisher puts it is not known to a build.
//   - package URLs of Go modules keep the capitals of the path, see GoPURL.
//
// Relationships (11.1): the document DESCRIBES one package. It CONTAINS files
// and every package whose code or data it holds, and DEPENDS_ON its main
// modules; a binary file is GENERATED_FROM its main module and STATIC_LINK each
// module in it; modules and packages DEPENDS_ON each other as the imports of
// what is linked have it, no more; a sealed module is GENERATED_FROM upstream's,
// to which each patch is PATCH_APPLIED; the web interface is GENERATED_FROM the
// module that held it or its source, and CONTAINS what was bundled into it; the
// module that embeds it CONTAINS it; a toolchain is BUILD_TOOL_OF the artifact,
// Go's CONTAINS the standard library. NONE and NOASSERTION are not used as ends,
// though 11.1 has them: tools-golang's validation refuses them. That the
// dependencies are complete, and of what they are not known, is said in
// creationInfo's comment.
//
// # What SPDX 2.3 has no field for
//
// BSI TR-03183-2 asks of each component's file for its name and three
// properties (5.2.2). They are an annotation (12) of type OTHER, one
// name=value a line under the names of BSI's own taxonomy, and its words:
//
//	bsi:component:filename=v0.70.0.zip
//	bsi:component:executable=executable | non-executable
//	bsi:component:archive=archive | no archive
//	bsi:component:structured=structured | unstructured
//
// So a document holds what version 2.1 of that guideline asks for, in the
// format that its version 2.0 allows: 2.1 itself wants SPDX 3.
package spdx
