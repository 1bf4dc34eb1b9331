package publish

import (
	"crypto/rand"
	"flag"
	"testing"
)

var size = flag.Int("size", 1<<20, "bytes of the binary of each platform in benchmarks, which do not compress")

// BenchmarkPublish pushes an image to an empty registry, BenchmarkAgain one that
// is there: to that of go-containerregistry, and to each of -registry.
func BenchmarkPublish(b *testing.B) { benchmark(b, false) }

func BenchmarkAgain(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, again bool) {
	noise := make([]byte, *size)
	_, _ = rand.Read(noise)
	r := newRelease(b, string(noise))
	places := map[string]func(*testing.B) Options{
		"referrers": func(b *testing.B) Options { return newServer(b, true).options() },
		"tags":      func(b *testing.B) Options { return newServer(b, false).options() },
	}
	if *servers != "" {
		for _, program := range programs(b, *servers, "registry") {
			places[program] = func(b *testing.B) Options { return start(b, program, false).options }
		}
	}
	for name, place := range places {
		b.Run(name, func(b *testing.B) {
			o := place(b)
			if again {
				mustPublish(b, o, r)
			}
			b.SetBytes(2 * int64(*size))
			for b.Loop() {
				if !again {
					b.StopTimer()
					o = place(b)
					b.StartTimer()
				}
				if got := mustPublish(b, o, r); again != (got.Sent == 0) {
					b.Fatalf("%+v", got)
				}
			}
		})
	}
}
