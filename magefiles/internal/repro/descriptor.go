package repro

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// layoutBlobs is the folder of the files that are called after their digests.
const layoutBlobs = "blobs/sha256/"

var digestForm = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)

// blobNamed is the name of the file that a digest names, or "".
func blobNamed(digest any) string {
	s, _ := digest.(string)
	if m := digestForm.FindStringSubmatch(s); m != nil {
		return layoutBlobs + m[1]
	}
	return ""
}

// blobOf is the name of the file that a descriptor names, or "".
func blobOf(descriptor any) string { return blobNamed(fieldOf(descriptor, "digest")) }

// fieldOf and partsOf take a JSON value apart. What is not there is nil.
func fieldOf(v any, key string) any {
	fields, _ := v.(map[string]any)
	return fields[key]
}

func partsOf(v any, key string) []any {
	parts, _ := fieldOf(v, key).([]any)
	return parts
}

// byPlatform gives what an index names the roles by which it is reported, in the
// order of the index, and the names of the files by role.
func byPlatform(index []any) (roles []string, names map[string]string) {
	names = map[string]string{}
	count := map[string]int{}
	for _, descriptor := range index {
		var parts []string
		for _, key := range []string{"os", "architecture", "variant"} {
			if part, _ := fieldOf(fieldOf(descriptor, "platform"), key).(string); part != "" {
				parts = append(parts, part)
			}
		}
		role := "image" // an index has no platform
		if len(parts) > 0 {
			role = strings.Join(parts, "/") + " manifest"
		}
		if count[role]++; count[role] > 1 {
			role = fmt.Sprintf("%d: %s", count[role], role)
		}
		roles, names[role] = append(roles, role), blobOf(descriptor)
	}
	return roles, names
}

// align gives a and b with the role of a file in place of its name, or its digest
// and size, wherever both name files that have one role and differ. It reports
// whether it found any.
func align(a, b any, changed map[twins]string) (x, y any, found bool) {
	switch va := a.(type) {
	case string:
		if role := changed[twins{fileNamed(a), fileNamed(b)}]; role != "" && fileNamed(a) != "" {
			return "that of the " + role, "that of the " + role, true
		}
	case []any:
		vb, ok := b.([]any)
		if !ok {
			break
		}
		la, lb := slices.Clone(va), slices.Clone(vb)
		for i := range min(len(la), len(lb)) {
			var more bool
			la[i], lb[i], more = align(la[i], lb[i], changed)
			found = found || more
		}
		return la, lb, found
	case map[string]any:
		vb, ok := b.(map[string]any)
		if !ok {
			break
		}
		ma, mb := maps.Clone(va), maps.Clone(vb)
		for key := range va {
			if _, both := vb[key]; !both {
				continue
			}
			var more bool
			ma[key], mb[key], more = align(va[key], vb[key], changed)
			found = found || more
		}
		if _, _, named := align(va["digest"], vb["digest"], changed); named {
			delete(ma, "size")
			delete(mb, "size")
		}
		return ma, mb, found
	}
	return a, b, false
}

// fileNamed is the name of the file that a digest names, or that stands there.
func fileNamed(v any) string {
	if name := blobNamed(v); name != "" {
		return name
	}
	s, _ := v.(string)
	return s
}
