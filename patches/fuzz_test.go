package patches

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func FuzzSeries(f *testing.F) {
	f.Add("0001-a.patch\n# why\n\n0002-b.patch\n")
	f.Add("0001-a.patch -p1\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := parseSeries("series", []byte(text))
		if err != nil {
			return
		}
		again, err := parseSeries("series", []byte(strings.Join(names, "\n")))
		if err != nil || strings.Join(again, "\n") != strings.Join(names, "\n") {
			t.Errorf("%q became %q, %v", names, again, err)
		}
		for _, name := range names {
			if filepath.Base(name) != name {
				t.Errorf("%q leaves its folder", name)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(header + oneDiff)
	f.Add("Variants: hardened,\n vanilla\n" + header + oneDiff)
	f.Fuzz(func(t *testing.T, text string) {
		h, lines, err := parseHeader("patch", []byte(text))
		if err != nil {
			return
		}
		if h.Summary() == "" || h.Forwarded == "" || h.DropWhen == "" || len(h.Variants) == 0 || lines < 5 {
			t.Errorf("incomplete header %+v in %d lines", h, lines)
		}
		if at := strings.Split(text, "\n")[lines]; !strings.HasPrefix(at, diffStart) {
			t.Errorf("first diff is %q", at)
		}
	})
}

// FuzzDiff: a diff that is accepted says no more than what its written form
// says, names no path outside, and applies or fails cleanly.
func FuzzDiff(f *testing.F) {
	f.Add(oneDiff[1:], "a\n")
	f.Add("diff --git a/f b/f\nnew file mode 100644\n--- /dev/null\n+++ b/f\n@@ -0,0 +1,2 @@\n+a\n+b\n", "")
	f.Add("diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "a\n")
	f.Add("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@ x\n a\n+b\n c\n\\ No newline at end of file\n", "a\nc")
	f.Add("diff --git a/f b/f\nold mode 100644\nnew mode 100755\n", "a\n")
	f.Add("diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n", "a\n")
	f.Add("diff --git \"a/\\146\" b/f\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n", "a\n")
	f.Add("diff --git a/../f b/../f\n--- a/../f\n+++ b/../f\n@@ -1 +1 @@\n-a\n+b\n", "a\n")
	if shipped, err := filepath.Glob("*/*/*.patch"); err == nil {
		for _, name := range shipped {
			if data, err := os.ReadFile(name); err == nil {
				_, diff, _ := strings.Cut(string(data), "\n\n")
				f.Add(diff, "a\n")
			}
		}
	}
	f.Fuzz(func(t *testing.T, diff, src string) {
		files, err := parseDiff("patch", []byte(diff), 0)
		if err != nil {
			return
		}
		root := fstest.MapFS{}
		for _, file := range files {
			if _, err := root.Open(target(file)); strings.Contains(err.Error(), "invalid") {
				t.Errorf("accepted %q: %v", target(file), err)
			}
			out, bad := patched([]byte(src), file)
			if bad != nil {
				continue
			}
			var added, removed int
			for _, h := range file.TextFragments {
				for _, line := range h.Lines {
					if line.New() {
						added += len(line.Line)
					}
					if line.Old() {
						removed += len(line.Line)
					}
				}
			}
			if len(out) != len(src)-removed+added {
				t.Errorf("%d bytes, less %d and plus %d, became %d", len(src), removed, added, len(out))
			}
		}
	})
}
