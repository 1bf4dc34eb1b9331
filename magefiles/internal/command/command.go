// Package command does what the targets name. It reads the configuration,
// writes results to stdout and progress to stderr, and turns errors into the
// exit status that the README promises.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/pipeline"
	"palisade/magefiles/internal/sign"
)

// Selection is what a person asked for.
type Selection = pipeline.Selection

// The exit statuses, beside 0 and 1.
const (
	statusUsage   = 2
	statusRefused = 3
)

type failure struct {
	error
	status int
}

func (f failure) Status() int   { return f.status }
func (f failure) Unwrap() error { return f.error }

// outcome gives err its exit status.
func outcome(err error) error {
	if errors.Is(err, config.ErrUsage) {
		return failure{err, statusUsage}
	}
	if errors.Is(err, sign.ErrMismatch) {
		return failure{err, statusRefused}
	}
	return err
}

// session is what every target begins with.
type session struct {
	config   *config.Config
	console  *console.Console
	plan     *pipeline.Plan
	pipeline *pipeline.Pipeline
}

// open calls before, if any, while it can still talk to a person.
func open(sel Selection, hermetic bool, before ...func(*config.Config) error) (*session, error) {
	return openPlan(sel, hermetic, pipeline.NewPlan, before...)
}

// openPlan is open with another plan of the selection.
func openPlan(sel Selection, hermetic bool, planned func(*config.Config, Selection) (*pipeline.Plan, error), before ...func(*config.Config) error) (*session, error) {
	cfg, err := config.Load()
	if err != nil {
		return nil, err
	}
	cfg.Hermetic = cfg.Hermetic || hermetic
	plan, err := planned(cfg, sel)
	if err != nil {
		return nil, err
	}
	for _, b := range before {
		if err := b(cfg); err != nil {
			return nil, err
		}
	}
	con := console.New(os.Stdout, os.Stderr, console.Plain(!cfg.Terminal))
	p, err := pipeline.Open(cfg, con, plan)
	if err != nil {
		con.Close()
		return nil, err
	}
	return &session{cfg, con, plan, p}, nil
}

// admit says of which artifacts the build was not hermetic.
func (s *session) admit(records []artifact.Record) {
	for _, r := range records {
		if !r.Build.Sandbox.Hermetic {
			s.console.Notef("%s: not hermetic: %s", r.Name, r.Build.Sandbox.Reason)
		}
	}
}

func rows(records []artifact.Record) [][]string {
	var all [][]string
	for _, r := range records {
		var seconds float64
		for _, st := range r.Timing {
			seconds += st.Seconds
		}
		all = append(all, []string{r.Name, fmt.Sprintf("%.1f MiB", float64(r.Size)/(1<<20)), r.Digest.String(), fmt.Sprintf("%.1f s", seconds)})
	}
	return all
}

// Toolchain prints every pin for this machine and where it is unpacked.
func Toolchain(context.Context) error {
	s, err := open(Selection{}, false)
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	tools, err := s.pipeline.Toolchains().List()
	if err != nil {
		return err
	}
	var all [][]string
	for _, t := range tools {
		where := t.Dir
		if where == "" {
			where = "not unpacked"
		}
		all = append(all, []string{t.Name, t.Version, t.Package, t.Hash, where})
	}
	return s.console.Table([]string{"TOOL", "VERSION", "PACKAGE", "PIN", "DIRECTORY"}, all)
}

// Test runs every test of the repository, and vet, which alone sees the
// targets.
func Test(ctx context.Context) error {
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	for _, args := range [][]string{
		{"vet", "./..."},
		{"vet", "-tags", "mage", "./magefiles"},
		{"test", "-timeout", "30m", "./..."},
	} {
		fmt.Fprintln(os.Stderr, "go", strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, cfg.Go, args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = cfg.Root, cfg.Env, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go %s: %w", args[0], err)
		}
	}
	return nil
}
