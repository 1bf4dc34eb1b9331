package repro

import (
	"archive/tar"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Archives within archives are looked into four deep, and no deeper.
func TestNesting(t *testing.T) {
	nest := func(depth int, content string) []byte {
		data := []byte(content)
		for range depth {
			data = gzipOf(t, tarOf(t, []planted{{"in", string(data), 0o644, epoch, "", 0}}), 6, nil)
		}
		return data
	}
	a, b := pair(t, "x", nest(4, "echo 1\n"), nest(4, "echo 2\n"))
	expect(t, report(t, a, b), []string{`x!in!in!in!in at byte 5: content differs; "echo 1" and "echo 2"`}, nil)
	a, b = pair(t, "x", nest(5, "echo 1\n"), nest(5, "echo 2\n"))
	expect(t, report(t, a, b), []string{"x!in!in!in!in at byte ", "archives nested deeper than 4 are not looked into"}, []string{"echo"})
}

// Past each bound the report says that it did not look, and never "equal".
func TestBounds(t *testing.T) {
	big := func(tail string) []planted {
		return []planted{{"big", string(make([]byte, 1<<20)) + tail, 0o644, epoch, "", 0}}
	}
	many := func(tail string) (l []planted) {
		for _, name := range []string{"a", "b", "c", "d"} {
			l = append(l, planted{name, "echo " + tail, 0o644, epoch, "", 0})
		}
		return l
	}
	tests := []struct {
		name  string
		bound func(*limits)
		a, b  []planted
		want  string
	}{
		{"unpacked size", func(l *limits) { l.unpacked = 1 << 18 }, big("1"), big("2"), "unpacks to more than is looked into"},
		{"member size", func(l *limits) { l.member = 1 << 18 }, big("1"), big("2"), "more than 262144 bytes are not looked into"},
		{"members", func(l *limits) { l.members = 3 }, many("1"), many("2"), "more than 3 members"},
		{"names", func(l *limits) { l.names = 2 }, many("1"), many("2"), "more than 2 bytes of names"},
		{"work", func(l *limits) { l.work = 1 << 19 }, big("1"), big("2"), "there is too much in it, all in all"},
		{"members explained", func(l *limits) { l.explained = 2 }, many("1"), many("2"), "only the first 2 differing members are looked into"},
		{"differences", func(l *limits) { l.differences = 2 }, many("1"), many("2"), "and more: only the first 2 differences are listed"},
	}
	for _, tt := range tests {
		for format, make := range map[string]func([]planted) []byte{
			"tar":    func(l []planted) []byte { return tarOf(t, l) },
			"tar.gz": func(l []planted) []byte { return gzipOf(t, tarOf(t, l), 6, nil) },
			"zip":    func(l []planted) []byte { return zipOf(t, l, 6) },
		} {
			t.Run(tt.name+" "+format, func(t *testing.T) {
				lim := defaults
				tt.bound(&lim)
				a, b := pair(t, "x", make(tt.a), make(tt.b))
				ds, err := compare(a, b, lim)
				if err != nil {
					t.Fatal(err)
				}
				var got string
				for _, d := range ds {
					got += d.String() + "\n"
				}
				expect(t, got, []string{tt.want}, nil)
				if len(ds) > lim.differences+1 {
					t.Errorf("%d differences", len(ds))
				}
			})
		}
	}
}

// Of a text with more lines than are compared one by one no cause is known.
func TestCauseIsNotGuessedFromAPart(t *testing.T) {
	lim := defaults
	lim.pieces = 2
	a, b := pair(t, "x", []byte("1\n2\n2026-01-01\n"), []byte("1\n2\n2026-01-02\n"))
	ds, err := compare(a, b, lim)
	if err != nil || len(ds) != 1 || ds[0].Cause() != Unknown {
		t.Errorf("%v, %v, want one difference that names no cause", ds, err)
	}
}

// Of archives of archives of archives each unpacks to little enough, and all of them
// to more than anybody waits for.
func TestBombs(t *testing.T) {
	zeros := func(tail string) []byte { return gzipOf(t, append(make([]byte, 1<<17), tail...), 9, nil) }
	for range 2 {
		inner := zeros
		zeros = func(tail string) []byte {
			var all []planted
			for i := range defaults.explained {
				all = append(all, planted{fmt.Sprint(i), string(inner(tail)), 0o644, epoch, "", 0})
			}
			return gzipOf(t, tarOf(t, all), 9, nil)
		}
	}
	lim := defaults
	lim.work = 4 << 20
	c := newComparison(lim)
	must(t, c.contents(place{file: "x"}, bytesContent(zeros("1")), bytesContent(zeros("2"))))
	var got strings.Builder
	for _, d := range c.found {
		fmt.Fprintln(&got, d)
	}
	expect(t, got.String(), []string{"there is too much in it, all in all"}, nil)
	// What is left undone is not done after all: each attempt ends with its first read.
	if over := -c.work.Load(); over > 2<<20 {
		t.Errorf("%d bytes more than there may be", over)
	}
	// The same with no bound is told in full, so it is the bound that ended it.
	c = newComparison(defaults)
	must(t, c.contents(place{file: "x"}, bytesContent(zeros("1")), bytesContent(zeros("2"))))
	for _, d := range c.found {
		if strings.Contains(d.Why, "too much") {
			t.Errorf("%s", d)
		}
	}
}

// What an archive says of a member is kept for each of them, so it is cut; what is
// cut off is compared.
func TestLongFacts(t *testing.T) {
	facts := func(tail string) []string {
		long := strings.Repeat("x", 1<<20) + tail
		return tarFacts(&tar.Header{Name: "a", Linkname: long, Uname: long, Gname: long, PAXRecords: map[string]string{"a.b": long, "path": long}})
	}
	one, two := facts("1"), facts("2")
	// What has a fact of its own is not said again: a time is not another encoding.
	times := func(m string) []string {
		return tarFacts(&tar.Header{Name: "a", ModTime: epoch, PAXRecords: map[string]string{"mtime": m, "atime": m, "path": m}})
	}
	if !slices.Equal(times("1"), times("2")) {
		t.Errorf("%q and %q", times("1"), times("2"))
	}
	differ := 0
	for i, f := range one {
		if len(f) > 1024 {
			t.Errorf("a fact of %d bytes", len(f))
		}
		if f != two[i] {
			differ++
		}
	}
	if differ != 3 {
		t.Errorf("%d facts differ, want those of the link, the owner and the extended header", differ)
	}
}

// An executable that claims more than it could hold is not given to what would
// believe it.
func TestUnsound(t *testing.T) {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[40], head[58], head[60], head[61] = 64, 64, 0xff, 0xff // 65535 sections at 64
	a, b := pair(t, "x", append(bytes.Clone(head), make([]byte, 1<<22)...), append(bytes.Clone(head), bytes.Repeat([]byte{1}, 1<<22)...))
	expect(t, report(t, a, b), []string{"x at byte 64: content differs, and cannot be read as ELF: more in a program than is read: 65535 sections"}, nil)
}
