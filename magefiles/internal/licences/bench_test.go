package licences

import (
	"fmt"
	"io"
	"testing"

	"palisade/recipes"
)

// BenchmarkWarm is what a build that changes nothing pays for 400 packages:
// the look-up of each, judgement, and the file of texts.
func BenchmarkWarm(b *testing.B) {
	r := newReader(b)
	m := moduleOf(b, world(b)...)
	all := make([]string, 400)
	for i := range all {
		all[i] = fmt.Sprintf("v1.0.%d", i)
	}
	run := func(r *Reader) {
		subjects := make([]Subject, len(all))
		for i, version := range all {
			m := m
			m.Sum = "h1:" + version
			found, err := r.Module(b.Context(), m)
			if err != nil {
				b.Fatal(err)
			}
			subjects[i] = Subject{PURL: "pkg:golang/example.org/bell@" + version, Found: found.For([]string{"", "internal/rope/knot"})}
		}
		verdicts, err := Conclude(&recipes.Recipe{Name: "bell"}, subjects)
		if err != nil {
			b.Fatal(err)
		}
		if err := WriteTexts(io.Discard, "bell", verdicts); err != nil {
			b.Fatal(err)
		}
	}
	run(r)
	for b.Loop() {
		run(&Reader{Store: r.Store})
	}
}
