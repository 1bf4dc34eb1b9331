package upstream

import (
	"slices"
	"strings"
)

// texts is a file that only ours has.
const texts = "THIRD_PARTY_LICENSES"

// onlyOurs is why a member is in our archive alone.
func onlyOurs(m member, name string, k Known) Reason {
	return when(name == texts && m.link == "" && !m.runs && !slices.Contains(k.Source.Files, name), Licences)
}

// standard reports whether a package is of Go's own library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return path != "main" && !strings.Contains(first, ".")
}
