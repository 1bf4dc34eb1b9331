package repro

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// noise is text that does not compress well, as programs do not.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(random.Uint32N(64)) + ' '
	}
	return string(data)
}

// Two releases of the size of Prometheus, each of two programs of some hundred
// megabytes, one of which differs in a time stamp and its archive in nothing else.
func BenchmarkCompare(b *testing.B) {
	builder := newBuilder(b)
	sized := trimmed
	sized.ui = noise(100 << 20)
	other := noise(100 << 20)
	archive := func(at string) []byte {
		program, err := os.ReadFile(builder.build(b, sized.with(stamp(at))))
		if err != nil {
			b.Fatal(err)
		}
		return gzipOf(b, tarOf(b, []planted{{"app/app", string(program), 0o755, epoch, "", 0}, {"app/tool", other, 0o755, epoch, "", 0}}), 1, nil)
	}
	first, second := pair(b, "app.tar.gz", archive("2026-01-02T03:04:05Z"), archive("2026-01-02T03:04:06Z"))
	info, err := os.Stat(first)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(2 * info.Size())
	b.ReportAllocs()
	for b.Loop() {
		ds, err := Compare(first, second)
		if err != nil || len(Causes(ds)) != 1 || Causes(ds)[0] != TimeStamp {
			b.Fatalf("%v, %v", ds, err)
		}
	}
}

// What is equal in two archives is not held in memory, and of what differs no more
// than is looked into.
func TestMemory(t *testing.T) {
	const large = 96 << 20
	of := func(text string) []byte {
		return gzipOf(t, tarOf(t, []planted{{"app/large", strings.Repeat("0123456789abcdef", large/16), 0o755, epoch, "", 0}, {"app/small", text, 0o644, epoch, "", 0}}), 1, nil)
	}
	a, b := pair(t, "app.tar.gz", of("one"), of("two"))
	var before, behind runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	got := report(t, a, b)
	runtime.ReadMemStats(&behind)
	expect(t, got, []string{filepath.Base(a) + "!app/small at byte 0: content differs"}, nil)
	if asked := behind.TotalAlloc - before.TotalAlloc; asked > large/2 {
		t.Errorf("asked for %d bytes of memory in all, to compare archives that are equal but for a few", asked)
	}
}
