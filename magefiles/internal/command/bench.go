package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"palisade/magefiles/internal/pipeline"
)

// noOpRuns is how often a build with nothing to do is timed.
const noOpRuns = 9

// Bench prints how much processor time a cold compilation costs here, compared
// with the same commands by hand; how long it takes to tell the licences of
// what was compiled and to describe it, compared with telling them for the
// first time; and how long a build takes that has nothing to do. Both sides of
// every ratio are run in this one run.
func Bench(ctx context.Context, component string) error {
	s, err := open(Selection{Component: component}, false)
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	if _, err := s.pipeline.Run(ctx); err != nil {
		return outcome(err)
	}
	idle, err := timeNoOp(ctx, component)
	if err != nil {
		return err
	}
	documents, err := s.pipeline.BenchDocuments(ctx)
	if err != nil {
		return outcome(err)
	}
	all, err := s.pipeline.Bench(ctx)
	if err != nil {
		return outcome(err)
	}
	var table [][]string
	var here, byHand time.Duration
	for _, c := range all {
		here, byHand = here+c.Here, byHand+c.ByHand
		table = append(table, comparison(c.Cell.String(), c.Here, c.ByHand))
	}
	table = append(table, comparison("all", here, byHand))
	if err := s.console.Table([]string{"COLD COMPILATION", "HERE", "BY HAND", "RATIO"}, table); err != nil {
		return err
	}
	if err := s.console.Table([]string{"LICENCES AND DOCUMENTS", "LICENSING", "COLD", "RATIO", "DESCRIBING", "BINARIES", "PER BINARY"}, documentation(documents)); err != nil {
		return err
	}
	return s.console.Table([]string{"NOTHING TO DO", "MEDIAN OF " + fmt.Sprint(noOpRuns)},
		[][]string{{fmt.Sprintf("%d components", len(all)), idle.Round(time.Millisecond).String()}})
}

func comparison(name string, here, byHand time.Duration) []string {
	return []string{name, here.Round(10 * time.Millisecond).String(), byHand.Round(10 * time.Millisecond).String(),
		fmt.Sprintf("%.3f", here.Seconds()/byHand.Seconds())}
}

// documentation is a row for each cell, and one for all.
func documentation(all []pipeline.Documentation) [][]string {
	var rows [][]string
	var sum pipeline.Documentation
	row := func(name string, d pipeline.Documentation) []string {
		in := func(took time.Duration) string { return took.Round(time.Millisecond).String() }
		return []string{name, in(d.Licensing), in(d.Cold), fmt.Sprintf("%.3f", d.Licensing.Seconds()/d.Cold.Seconds()),
			in(d.Describing), fmt.Sprint(d.Binaries), in((d.Licensing + d.Describing) / time.Duration(d.Binaries))}
	}
	for _, d := range all {
		sum.Licensing, sum.Cold, sum.Describing, sum.Binaries = sum.Licensing+d.Licensing, sum.Cold+d.Cold, sum.Describing+d.Describing, sum.Binaries+d.Binaries
		rows = append(rows, row(d.Cell.String(), d))
	}
	return append(rows, row("all", sum))
}

// timeNoOp runs this program, as a person would, after everything is built; but
// that nothing is signed, for which a key would have to be opened.
func timeNoOp(ctx context.Context, component string) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var took []time.Duration
	for range noOpRuns {
		args := []string{"build", "-sign=false"}
		if component != "" {
			args = append(args, "-component="+component)
		}
		begun := time.Now()
		if out, err := exec.CommandContext(ctx, self, args...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("timing a build with nothing to do: %w\n%s", err, out)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
