package repro

import (
	"slices"
	"strings"
	"testing"
)

// Two texts are said to differ in marks where that is all in which they do.
func TestLikely(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, tt := range []struct {
		a, b string
		want []Cause
	}{
		{"built 2026-01-02T03:04:05Z", "built 2026-01-02T03:04:06Z", []Cause{TimeStamp}},
		{"built 2026-01-02T03:04:05.1Z", "built 2026-01-02 03:04:06.123456+01:00", []Cause{TimeStamp}},
		{"built 2026-01-02", "built 2026-01-03", []Cause{TimeStamp}},
		{"app-20260102-03:04:05.log", "app-20260102-03:04:06.log", []Cause{TimeStamp}},
		{"at 03:04:05", "at 03:04:06", []Cause{TimeStamp}},
		{"Date: Fri, 02 Jan 2026 03:04:05 GMT", "Date: Sat, 10 Jan 2026 13:14:15 GMT", []Cause{TimeStamp}},
		{"Fri Jan  2 03:04:05 UTC 2026", "Sat Jan 10 13:14:15 CET 2026", []Cause{TimeStamp}},
		{"compiled Jan  2 2026", "compiled Dec 31 2025", []Cause{TimeStamp}},
		{`{"at":1767322445}`, `{"at":1767322446}`, []Cause{TimeStamp}},
		{"id 9767322445", "id 9767322446", nil},
		{"by root@host1.example", "by ci@host2", []Cause{UserOrHost}},
		{"in /build/one/src now", "in /build/two/src now", []Cause{BuildPath}},
		{"-I=/build/one -L=/build/one/lib", "-I=/build/two -L=/build/two/lib", []Cause{BuildPath}},
		{`C:\Users\one\src`, `C:\Users\two\src`, []Cause{BuildPath}},
		{"https://one.example/a/b", "https://two.example/a/b", nil},
		{"$ROOT/a/b", "$ROOT/a/c", nil},
		{"go1.26.7", "go1.26.8", []Cause{Toolchain}},
		{"example.test/dep v1.0.0", "example.test/dep v1.0.1-rc.1", []Cause{ModuleVersion}},
		{"pkg:golang/example.test/dep@v1.0.0", "pkg:golang/example.test/dep@v1.0.1", []Cause{ModuleVersion}},
		{"pkg:golang/example.test/dep@v1.0.0", "pkg:golang/example.test/bed@v1.0.0", nil},
		{"/root/go/pkg/mod/example.test/dep@v1.0.0/a.go", "/root/go/pkg/mod/example.test/dep@v1.0.1/a.go", []Cause{ModuleVersion}},
		{"sha256:" + hex, "sha256:" + strings.Replace(hex, "0", "1", 1), []Cause{OtherContent}},
		{"h1:" + strings.Repeat("a", 43) + "=", "h1:" + strings.Repeat("b", 43) + "=", []Cause{OtherContent}},
		{"urn:uuid:00000000-0000-0000-0000-000000000000", "urn:uuid:00000000-0000-0000-0000-000000000001", []Cause{OtherContent}},
		{"2026-01-02 by a@b in /x/y/z", "2026-01-03 by a@c in /x/y/a", []Cause{TimeStamp, UserOrHost, BuildPath}},
		{"built 2026-01-02", "made 2026-01-03", nil},
		{"2026-01-02", "a@b", nil},
		{"2026-01-02", "2026-01-02", nil},
		{"one", "two", nil},
		{"", "2026-01-02", nil},
	} {
		var got []Cause
		for _, f := range likely(tt.a, tt.b) {
			got = append(got, f.cause)
			if x, y := tt.a[f.at:], tt.b[f.in:]; f.at > 0 && f.in > 0 && x != "" && y != "" && x[0] == y[0] {
				t.Errorf("%q and %q: the bytes at %d and %d are equal", tt.a, tt.b, f.at, f.in)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q and %q: %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

// What is quoted of long marks has an end.
func TestLongMarks(t *testing.T) {
	long := "/" + strings.Repeat("a/", 1<<14)
	found := likely(long+"one", long+"two")
	if len(found) != 1 || found[0].cause != BuildPath || len(found[0].String()) > 1000 || found[0].at != int64(len(long)) {
		t.Errorf("%v", found)
	}
}
