package spdx

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// The names of external references that hold a hash which is no SPDX checksum
// (7.21, category OTHER).
const (
	refGoH1         = "goModuleH1"
	refNPMIntegrity = "npmIntegrity"
	refGitH1        = "gitArchiveH1" // of what "git archive" gives of a commit
)

func reference(category, kind, locator string) *v2_3.PackageExternalReference {
	return &v2_3.PackageExternalReference{Category: category, RefType: kind, Locator: locator}
}

// referenced is the first reference of that kind, "" where there is none.
func referenced(p *v2_3.Package, kind string) string {
	for _, r := range p.PackageExternalReferences {
		if r.RefType == kind {
			return r.Locator
		}
	}
	return ""
}

// digits is how many hexadecimal digits a checksum of each algorithm has.
var digits = map[common.ChecksumAlgorithm]int{
	common.SHA1: 40, common.SHA224: 56, common.SHA256: 64, common.SHA384: 96, common.SHA512: 128,
	common.SHA3_256: 64, common.SHA3_384: 96, common.SHA3_512: 128,
	common.BLAKE2b_256: 64, common.BLAKE2b_384: 96, common.BLAKE2b_512: 128, common.BLAKE3: 64,
	common.MD2: 32, common.MD4: 32, common.MD5: 32, common.MD6: 128, common.ADLER32: 8,
}

// isDigest reports whether value can be a checksum of that algorithm. BLAKE3
// and MD6 have no one length.
func isDigest(algorithm common.ChecksumAlgorithm, value string) bool {
	want, known := digits[algorithm]
	_, err := hex.DecodeString(value)
	free := algorithm == common.BLAKE3 || algorithm == common.MD6
	return known && err == nil && (len(value) == want || free && value != "")
}

// checksums are a file's, in the order SHA1, SHA256, SHA512.
func checksums(sha256 string, h Hashes) ([]common.Checksum, error) {
	return listed(common.Checksum{Algorithm: common.SHA1, Value: h.SHA1}, common.Checksum{Algorithm: common.SHA256, Value: sha256}, common.Checksum{Algorithm: common.SHA512, Value: h.SHA512})
}

// sums are a package's.
func sums(sha256, sha512 string) ([]common.Checksum, error) {
	return listed(common.Checksum{Algorithm: common.SHA256, Value: sha256}, common.Checksum{Algorithm: common.SHA512, Value: sha512})
}

func listed(all ...common.Checksum) ([]common.Checksum, error) {
	for _, c := range all {
		if !isDigest(c.Algorithm, c.Value) || strings.ToLower(c.Value) != c.Value {
			return nil, fmt.Errorf("its %s is %q, not %d lower-case hexadecimal digits", c.Algorithm, c.Value, digits[c.Algorithm])
		}
	}
	return all, nil
}

// cpe is a CPE 2.3 name of one version. What has a meaning of its own in the
// formatted string is quoted (NISTIR 7695, 6.2).
func cpe(product, version string) string {
	var b strings.Builder
	for _, r := range version {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return product + ":" + b.String() + ":*:*:*:*:*:*:*"
}

// A form is what BSI TR-03183-2 asks of a component's file beside its name
// (5.2.2, explained in 8.1.4 to 8.1.7).
type form struct{ executable, archive, structured string }

var (
	archiveFile    = form{"non-executable", "archive", "structured"}
	executableFile = form{"executable", "no archive", "unstructured"}
	plainFile      = form{"non-executable", "no archive", "unstructured"}
)

// properties say what SPDX 2.3 has no field for, under the names of BSI's
// taxonomy.
func (b *builder) properties(filename string, f form) []v2_3.Annotation {
	return []v2_3.Annotation{{
		Annotator: common.Annotator{AnnotatorType: "Tool", Annotator: Tool}, AnnotationDate: b.created, AnnotationType: "OTHER",
		AnnotationComment: fmt.Sprintf("bsi:component:filename=%s\nbsi:component:executable=%s\nbsi:component:archive=%s\nbsi:component:structured=%s", filename, f.executable, f.archive, f.structured),
	}}
}

// copyright is a copyright text (7.17, 8.8): lines, each once, sorted, or NONE.
func copyright(lines []string) string {
	all := map[string]bool{}
	for _, l := range lines {
		if l = clean(l); l != "" {
			all[l] = true
		}
	}
	if len(all) == 0 {
		return "NONE"
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), "\n")
}

// clean is s on one line, without control characters.
func clean(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))), " ")
}

func quantity(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
