package buildkit

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// BenchmarkCells builds the same cells over one worker and over two, which share
// this machine, each time with workers that have nothing yet. It says what goes
// over the wire for the first cell of a worker and for each further one, and what
// of this machine's processors a cell takes beside the compiler. README.md of
// .ci/buildkit says how to run it and what follows from it.
func BenchmarkCells(b *testing.B) {
	toolWanted(b)
	var perHour [3]float64
	for workers := 1; workers <= 2; workers++ {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var first, further traffic
			var local, wall time.Duration
			cells := 0
			for range b.N {
				b.StopTimer()
				c := certify(b)
				var hosts []string
				for range workers {
					hosts = append(hosts, start(b, c.options()...).address)
				}
				p := newPlace(b)
				b.StartTimer()
				begun := time.Now()
				said, took := p.build(b, hosts, c, func(string) {})
				wall += time.Since(begun)
				local += took.UserTime() + took.SystemTime()
				known := map[string]bool{}
				for _, m := range ending.FindAllStringSubmatch(said, -1) {
					if cells++; known[m[1]] {
						further.add(b, m[2:])
					} else {
						first.add(b, m[2:])
					}
					known[m[1]] = true
				}
			}
			if first.cells == 0 || further.cells == 0 {
				b.Fatalf("%d first cells and %d further ones: name more -platforms", first.cells, further.cells)
			}
			perHour[workers] = float64(cells) / wall.Hours()
			first.report(b, "first")
			further.report(b, "further")
			b.ReportMetric(perHour[workers], "cells/hour")
			b.ReportMetric(local.Seconds()/float64(cells), "local-CPU-s/cell")
			b.ReportMetric(0, "ns/op") // is none
			if workers == 2 && perHour[1] > 0 {
				b.ReportMetric(perHour[2]/perHour[1], "times-one-worker")
			}
		})
	}
}

var ending = regexp.MustCompile(`(?m)^worker (\S+) is done: ([0-9.]+) s, (\d+) bytes sent, (\d+) received$`)

// traffic is what cells took, summed up.
type traffic struct {
	cells                   int
	seconds, sent, received float64
}

func (t *traffic) add(b *testing.B, figures []string) {
	t.cells++
	for i, to := range []*float64{&t.seconds, &t.sent, &t.received} {
		n, err := strconv.ParseFloat(figures[i], 64)
		if err != nil {
			b.Fatal(err)
		}
		*to += n
	}
}

func (t traffic) report(b *testing.B, which string) {
	n := float64(t.cells)
	b.ReportMetric(t.seconds/n, which+"-s/cell")
	b.ReportMetric(t.sent/n, which+"-B-sent/cell")
	b.ReportMetric(t.received/n, which+"-B-received/cell")
}
