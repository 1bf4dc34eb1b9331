package spdx

import (
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"palisade/attestations/artifact"
)

// GoPURL is the package URL of a Go module version. It keeps the capitals of
// the path: the purl specification asks for lower case, which names another
// module, or none. A parser that follows it lowers them by itself.
func GoPURL(path, version string) string {
	namespace, name := split(path)
	return packageurl.NewPackageURL(packageurl.TypeGolang, namespace, name, version, nil, "").ToString()
}

// StdPURL is the package URL of Go's standard library, of a version like
// 1.26.8.
func StdPURL(version string) string { return GoPURL("stdlib", version) }

// NPMPURL is the package URL of an npm package; its name may begin with a
// scope.
func NPMPURL(name, version string) string {
	namespace, name := split(name)
	return packageurl.NewPackageURL(packageurl.TypeNPM, namespace, name, version, nil, "").ToString()
}

// ToolPURL is the package URL of the package that holds a toolchain.
func ToolPURL(t artifact.Tool) string {
	i := strings.LastIndexByte(t.Package, '@')
	if i < 0 {
		return ""
	}
	if strings.HasPrefix(t.Hash, "h1:") {
		return GoPURL(t.Package[:i], t.Package[i+1:])
	}
	return NPMPURL(t.Package[:i], t.Package[i+1:])
}

// ArtifactPURL names the distribution's build of a component, in the file of that
// name: an archive, or one of its binaries.
func ArtifactPURL(distribution string, r artifact.Record, file string) string {
	qualifiers := packageurl.QualifiersFromMap(map[string]string{
		"arch": r.Platform.Arch + r.Platform.Variant, "os": r.Platform.OS, "file_name": file,
	})
	return packageurl.NewPackageURL(packageurl.TypeGeneric, distribution, r.Component, r.Version, qualifiers, "").ToString()
}

func split(name string) (namespace, last string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

// splitVersion splits name@version at its last "@".
func splitVersion(s string) (name, version string) {
	if i := strings.LastIndexByte(s, '@'); i > 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}
