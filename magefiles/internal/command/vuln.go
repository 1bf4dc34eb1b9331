package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/config"
	"palisade/magefiles/internal/console"
	"palisade/magefiles/internal/dist"
	"palisade/magefiles/internal/store"
	"palisade/magefiles/internal/vuln"
	"palisade/recipes"
)

// ErrVulnerable is wrapped when a known vulnerability reaches into a binary, and
// nothing answers it.
var ErrVulnerable = errors.New("known vulnerabilities are left open")

// A VulnRequest says into which archives to look, by default into all that were
// built: by Component, Platform and Variant, names separated by commas; Path is
// another release's folder. Database is in place of the configured one, and Output
// is "text", the default, or "json". With Write what is found is written beside
// each archive, for mage sign.
type VulnRequest struct {
	Component, Platform, Variant, Path, Database, Output string
	Write                                                bool
}

// NewVulnRequest takes flags, as NewVerifyRequest does.
func NewVulnRequest(component, platform, variant, path, database, output *string, write *bool) (req VulnRequest, err error) {
	err = take(
		flag{"component", component, &req.Component}, flag{"platform", platform, &req.Platform}, flag{"variant", variant, &req.Variant},
		flag{"path", path, &req.Path}, flag{"db", database, &req.Database}, flag{"output", output, &req.Output},
	)
	if write != nil {
		req.Write = *write
	}
	return req, err
}

// Vuln prints what is known of what the archives link, and refuses with status 3
// what reaches into a binary and is not answered.
func Vuln(ctx context.Context, req VulnRequest) error {
	if err := oneOf("output", req.Output, "text", "json"); err != nil {
		return outcome(err)
	}
	cfg, err := config.Load()
	if err != nil {
		return outcome(err)
	}
	report, err := lookInto(ctx, cfg, req)
	if err != nil {
		return outcome(refusedVuln(err))
	}
	if err := printVuln(report, req.Output); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return judgeVuln(report)
}

// refusedVuln gives what is refused its status.
func refusedVuln(err error) error {
	for _, refusal := range []error{vuln.ErrDatabase, vuln.ErrUnknown, vuln.ErrArchive, vuln.ErrExpired, vuln.ErrTooLong, vuln.ErrUnneeded} {
		if errors.Is(err, refusal) {
			return failure{err, statusRefused}
		}
	}
	return err
}

func judgeVuln(r vuln.Report) error {
	if n := r.Open(); n > 0 {
		return failure{fmt.Errorf("%w: %d, each with what to do: raise the dependency in the recipe's go.mod, or say in recipes/COMPONENT/%s what somebody found who looked",
			ErrVulnerable, n, recipes.TriageName), statusRefused}
	}
	return nil
}

func lookInto(ctx context.Context, cfg *config.Config, req VulnRequest) (vuln.Report, error) {
	s, err := store.Open(cfg.Cache)
	if err != nil {
		return vuln.Report{}, err
	}
	scratch, remove, err := s.Temp("vuln")
	if err != nil {
		return vuln.Report{}, err
	}
	defer remove()
	fsys := os.DirFS(filepath.Join(cfg.Root, "recipes"))
	d, err := recipes.LoadDistribution(fsys)
	if err != nil {
		return vuln.Report{}, err
	}
	dir := cfg.Dist
	if req.Path != "" {
		if dir, err = filepath.Abs(req.Path); err != nil {
			return vuln.Report{}, err
		}
	}
	only, err := req.only(dir)
	if err != nil {
		return vuln.Report{}, err
	}
	o := vuln.Options{
		Source: cmp.Or(req.Database, cfg.VulnDB, vuln.Official), Client: &http.Client{Timeout: time.Minute},
		Triage: func(component string) (recipes.Triage, error) { return recipes.LoadTriage(fsys, component) },
		Now:    time.Now(), Author: d.Publisher, Scratch: scratch, Only: only,
	}
	snapshot := filepath.Join(scratch, "database")
	if !req.Write {
		return vuln.Look(ctx, o, dir, snapshot)
	}
	unlock, err := dist.Lock(ctx, s, dir)
	if err != nil {
		return vuln.Report{}, err
	}
	defer unlock()
	report, err := vuln.Describe(ctx, o, dir, snapshot)
	if err == nil {
		_, err = fmt.Fprintf(os.Stderr, "%d documents are written: run mage sign, which signs those that are new\n", len(report.Archives))
	}
	return report, err
}

// only is which archives of the release in dir are chosen; nil if all are. A name
// that none of them has is refused with the list of those that they have.
func (req VulnRequest) only(dir string) (func(artifact.Record) bool, error) {
	if req.Component+req.Platform+req.Variant == "" {
		return nil, nil
	}
	index, err := readIndex(&config.Config{Dist: dir})
	if err != nil {
		return nil, err
	}
	type choice struct {
		asked string
		of    func(artifact.Record) string
	}
	choices := map[string]choice{
		"component": {req.Component, func(r artifact.Record) string { return r.Component }},
		"platform":  {req.Platform, func(r artifact.Record) string { return r.Platform.String() }},
		"variant":   {req.Variant, func(r artifact.Record) string { return r.Variant }},
	}
	for _, what := range []string{"component", "platform", "variant"} {
		var there []string
		for _, r := range index.Artifacts {
			there = append(there, choices[what].of(r))
		}
		slices.Sort(there)
		there = slices.Compact(there)
		for name := range strings.SplitSeq(choices[what].asked, ",") {
			if choices[what].asked != "" && !slices.Contains(there, name) {
				return nil, fmt.Errorf("%w: nothing is built of the %s %q; there are: %s", config.ErrUsage, what, name, strings.Join(there, ", "))
			}
		}
	}
	return func(r artifact.Record) bool {
		for _, c := range choices {
			if c.asked != "" && !slices.Contains(strings.Split(c.asked, ","), c.of(r)) {
				return false
			}
		}
		return true
	}, nil
}

// noNPM is what no line of the table can say.
const noNPM = "Of the npm packages in web interfaces this database knows nothing."

func printVuln(r vuln.Report, output string) error {
	if output == "json" {
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	con := console.New(os.Stdout, os.Stderr, console.Plain(true))
	defer con.Close()
	if rows := vulnRows(r); len(rows) > 0 {
		if err := con.Table([]string{"ARCHIVE", "VULNERABILITY", "MODULE", "FIXED IN", "IN THE BINARY", "STATUS", "BECAUSE, OR WHAT TO DO"}, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(os.Stdout, "%d archives, %d left open. Data of %s, %s\n%s\n", len(r.Archives), r.Open(), r.Database.Modified.Format(time.RFC3339), r.Database.Digest, noNPM)
	return err
}

// vulnRows are those of the table: a line for each finding of each archive.
func vulnRows(r vuln.Report) (rows [][]string) {
	for _, a := range r.Archives {
		for i, f := range a.Findings {
			v := a.Verdicts[i]
			name := f.ID
			if len(f.Aliases) > 0 {
				name += " (" + f.Aliases[0] + ")"
			}
			rows = append(rows, []string{a.Name, name, f.Module + " " + f.Version, cmp.Or(f.Fixed, "none yet"), string(f.Level), string(v.Status), v.Note})
		}
	}
	return rows
}
