package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"

	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/modules"
	"palisade/magefiles/internal/update"
	"palisade/recipes"
)

// ErrBehind is wrapped when something is newer than what is pinned, or was
// retracted or deprecated.
var ErrBehind = errors.New("behind")

// An UpdateRequest says what to tell, or which component to raise: to Version, by
// default the newest. Write writes what was raised even if not all of it works;
// Check makes an error of what is behind; All asks about the linked modules, too.
type UpdateRequest struct {
	Component, Version, Output string
	Check, Write, All          bool
}

// NewUpdateRequest takes flags, as NewVerifyRequest does.
func NewUpdateRequest(component, version, output *string, check, write, all *bool) (req UpdateRequest, err error) {
	err = take(flag{"component", component, &req.Component}, flag{"version", version, &req.Version}, flag{"output", output, &req.Output})
	req.Check, req.Write, req.All = check != nil && *check, write != nil && *write, all != nil && *all
	var wrong string
	switch {
	case err != nil:
		return req, err
	case req.Component == "" && (req.Version != "" || req.Write):
		wrong = "-version and -write are of a component that is raised: name it with -component="
	case req.Component != "" && (req.Check || req.All):
		wrong = "-check and -all tell of every component, and -component raises one: leave one of them out"
	case strings.Contains(req.Component, ","):
		wrong = "one component is raised at a time"
	}
	if wrong != "" {
		return req, outcome(fmt.Errorf("%w: %s", config.ErrUsage, wrong))
	}
	return req, outcome(oneOf("output", req.Output, "text", "json"))
}

// Update prints what is newer than what the recipes pin, or raises one of them.
// What is not known is an error, after all that is has been printed.
func Update(ctx context.Context, req UpdateRequest) error {
	s, err := open(Selection{Component: req.Component, Platform: "all"}, false)
	if err != nil {
		return outcome(err)
	}
	defer s.console.Close()
	if req.Component != "" {
		return outcome(s.raise(ctx, req))
	}
	report, err := s.survey(ctx, req.All)
	if err != nil {
		return outcome(err)
	}
	if err := s.tell(report, req.Output); err != nil {
		return err
	}
	if unknown := report.Unknown(); len(unknown) > 0 {
		return fmt.Errorf("%w: of %s: the lines with UNKNOWN say why; run it again when that can be reached", update.ErrUnknown, strings.Join(unknown, ", "))
	}
	if behind := report.Behind(); req.Check && len(behind) > 0 {
		return failure{fmt.Errorf("%w: %s; mage update -component=NAME raises one", ErrBehind, strings.Join(behind, ", ")), statusRefused}
	}
	return nil
}

func (s *session) tell(report update.Report, output string) error {
	if output != "json" {
		return s.console.Table(update.Header(), report.Rows())
	}
	data, err := report.Encode()
	if err != nil {
		return err
	}
	s.console.Close()
	if _, err := os.Stdout.Write(data); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// recipes is every recipe of the plan, once.
func (s *session) recipes() []*recipes.Recipe {
	var all []*recipes.Recipe
	for _, cell := range s.plan.Cells {
		if !slices.Contains(all, cell.Recipe) {
			all = append(all, cell.Recipe)
		}
	}
	return all
}

// askers is how many modules are asked about at once: the go command waits for
// the proxy most of the time.
const askers = 4

// survey asks about what every recipe is of, about each Go that one pins, and, if
// told to, about what they link.
func (s *session) survey(ctx context.Context, linked bool) (update.Report, error) {
	client := &update.Client{Modules: s.pipeline.Modules()}
	all := s.recipes()
	golangs := map[string][]string{}
	for _, r := range all {
		golangs[r.Lock.Go] = append(golangs[r.Lock.Go], r.Name)
	}
	subjects := make([]update.Subject, len(all), len(all)+len(golangs))
	g, inGroup := errgroup.WithContext(ctx)
	g.SetLimit(askers)
	for i, r := range all {
		g.Go(func() error {
			f, err := s.ask(inGroup, r.Name, func(ctx context.Context) (update.Found, error) {
				return client.Module(ctx, r.Module, r.Lock.Upstream, later(r))
			})
			if f.Current == "" {
				f.Current = r.Lock.Upstream
			}
			subjects[i] = update.NewSubject(update.Upstream, r.Name, []string{r.Name}, f, err, releaseOf(r))
			subjects[i].Go = r.Lock.Go
			return fatal(inGroup, err)
		})
	}
	if err := g.Wait(); err != nil {
		return update.Report{}, err
	}
	for version, names := range golangs { // NewReport sorts
		f, err := s.ask(ctx, "go "+version, func(ctx context.Context) (update.Found, error) {
			return client.Go(ctx, version, s.config.Host)
		})
		if err := fatal(ctx, err); err != nil {
			return update.Report{}, err
		}
		f.Current = version
		subjects = append(subjects, update.NewSubject(update.Toolchain, "go", names, f, err, nil))
	}
	if linked {
		more, err := s.linked(ctx, client, all)
		if err != nil {
			return update.Report{}, err
		}
		subjects = append(subjects, more...)
	}
	return update.NewReport(subjects), nil
}

func (s *session) ask(ctx context.Context, what string, do func(context.Context) (update.Found, error)) (update.Found, error) {
	line := s.console.Cell("update " + what)
	line.Stage("asking")
	f, err := do(ctx)
	line.Done(err)
	return f, err
}

// fatal is err unless it says that something is not known, which is told.
func fatal(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, update.ErrUnknown) || errors.Is(err, modules.ErrFetch) {
		return nil
	}
	return err
}

// linked asks about every module that recipes link and are not about, and tells
// of those of which there is something to say.
func (s *session) linked(ctx context.Context, client *update.Client, all []*recipes.Recipe) ([]update.Subject, error) {
	by := map[module.Version][]string{}
	var mods []module.Version
	for _, r := range all {
		for _, m := range r.Lock.Requires {
			if m.Path == r.Module {
				continue
			}
			if by[m] == nil {
				mods = append(mods, m)
			}
			by[m] = append(by[m], r.Name)
		}
	}
	slices.SortFunc(mods, func(a, b module.Version) int {
		if a.Path != b.Path {
			return strings.Compare(a.Path, b.Path)
		}
		return semver.Compare(a.Version, b.Version)
	})
	line := s.console.Cell(fmt.Sprintf("update %d linked modules", len(mods)))
	line.Stage("asking")
	found, errs, err := client.Linked(ctx, mods)
	line.Done(err)
	if err != nil {
		return nil, err
	}
	var subjects []update.Subject
	for i, m := range mods {
		if errs[i] != nil || found[i].Behind() || len(found[i].Unconfirmed) > 0 {
			subjects = append(subjects, update.NewSubject(update.Linked, m.Path, by[m], found[i], errs[i], nil))
		}
	}
	return subjects, nil
}

// later reports of a version of r's module whether it is one of a later release
// than r's: prometheus once counted otherwise, so that its v1.8.2 is older than
// v0.315.0.
func later(r *recipes.Recipe) func(string) bool {
	return func(version string) bool {
		release, ok := r.Release(version)
		return ok && semver.Compare("v"+release, "v"+r.Version) > 0
	}
}

func releaseOf(r *recipes.Recipe) func(string) string {
	return func(version string) string {
		if release, ok := r.Release(version); ok {
			return release
		}
		return version
	}
}
