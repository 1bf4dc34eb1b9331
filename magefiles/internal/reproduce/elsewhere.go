package reproduce

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/surroundings"
)

// An Elsewhere is where things are made again: in other surroundings than the
// caller's, with cold caches. What was fetched is shared: it is held against its
// hashes by whoever uses it.
type Elsewhere struct {
	Dir       string    // empty; all of it lies below
	Self      string    // the program that makes things
	Cache     string    // of the caller, whose fetched modules and packages are shared
	Fetch     []string  // the caller's environment of commands that fetch; where they fetch from is passed on
	Registry  string    // of npm packages
	GitMirror string    // of git repositories, "" for none
	Stderr    io.Writer // of the program
}

// A Step is a run of the program that makes one thing.
type Step struct {
	Name     string   // of what it makes
	Checkout string   // where it runs
	Dist     string   // where the results come to lie
	Args     []string // of the program
}

// ArchiveStep makes an archive.
func ArchiveStep(name, component string, p artifact.Platform, variant string) Step {
	return Step{Name: name, Args: []string{"build", "-component=" + component, "-platform=" + p.String(), "-variant=" + variant, "-sign=false"}}
}

// ImageStep makes an image of archives, which it makes first where they are not
// there.
func ImageStep(name, component string, platforms []artifact.Platform, variant string) Step {
	var all []string
	for _, p := range platforms {
		all = append(all, p.String())
	}
	return Step{Name: name, Args: []string{"image", "-component=" + component, "-platform=" + strings.Join(all, ","), "-variant=" + variant, "-sign=false"}}
}

// Dist is a place for the results of the checkout of that number, so that what
// one makes does not replace what another has made.
func (e Elsewhere) Dist(n int) string { return filepath.Join(e.Dir, numbered("dist", n)) }

// Checkout is a place for the checkout of that number, unlike where people have
// theirs. It is not made.
func (e Elsewhere) Checkout(n int) string {
	return filepath.Join(e.Dir, "another directory", numbered("of some length", n))
}

func numbered(name string, n int) string {
	if n > 0 {
		name += fmt.Sprint(" ", n)
	}
	return name
}

// Do runs the steps one after the other and tells what was varied for them. With
// an error no step behind the one that failed was done.
func (e Elsewhere) Do(ctx context.Context, steps []Step) ([]surroundings.Variation, error) {
	place := surroundings.Place{
		Home: filepath.Join(e.Dir, "home"), Cache: filepath.Join(e.Dir, "cache"), Links: map[string]string{}, Stderr: e.Stderr,
	}
	for _, d := range []string{place.Home, place.Cache} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	for _, fetched := range []string{"mod", "npm"} {
		place.Links[fetched] = filepath.Join(e.Cache, fetched)
		if err := os.MkdirAll(place.Links[fetched], 0o755); err != nil {
			return nil, err
		}
	}
	place.Keep = append(keep(e.Fetch), "npm_config_registry="+e.Registry, "PALISADE_GIT_MIRROR="+e.GitMirror, "PALISADE_CACHE="+place.Cache)
	var programs []surroundings.Program
	for i, s := range steps {
		programs = append(programs, surroundings.Program{
			Name: s.Name, Says: fmt.Sprintf("building there: %s (%d of %d)", s.Name, i+1, len(steps)),
			Args: append([]string{e.Self}, s.Args...), Dir: s.Checkout, Keep: []string{"PALISADE_DIST=" + s.Dist},
		})
	}
	return surroundings.Do(ctx, place, programs)
}

// keep is what a build elsewhere needs to know of this place: how to fetch. Which
// workers of BuildKit there are is not among it: on those nothing is varied.
func keep(env []string) []string {
	var kept []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(name) {
		case "PATH", "GOPROXY", "GOSUMDB", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
			kept = append(kept, kv)
		}
	}
	return kept
}
