package npm

import (
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"palisade/attestations/artifact"
)

// PURL names p as the package URL specification does: pkg:npm/%40scope/name@1.0.0.
func PURL(p artifact.Package) string {
	scope, name, ok := strings.Cut(p.Name, "/")
	if !ok {
		scope, name = "", p.Name
	}
	return packageurl.NewPackageURL(packageurl.TypeNPM, scope, name, p.Version, nil, "").ToString()
}
