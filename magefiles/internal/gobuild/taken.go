package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/source"
	"palisade/magefiles/internal/store"
)

// checkTaken holds what another machine left of a compilation against
// what was asked for, as one that was made here: whoever vouches for it, a binary
// is handed over only if its own build info says so.
func (c *Compiler) checkTaken(ctx context.Context, p source.Patched, t Target, cmd command, s step, left store.Entry) error {
	var got []string
	for _, f := range left.Files {
		got = append(got, f.Name)
	}
	want := names(p, t)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return surprise("there are the files %.500q, not %q", got, want)
	}
	if !slices.Equal(s.Invocation.Args, seen(cmd.args)) || !slices.Equal(s.Invocation.Env, seen(cmd.env)) {
		return surprise("it was compiled by another command, or in another environment")
	}
	by := ""
	if c.Elsewhere != nil {
		by = c.Elsewhere.Name()
	}
	if err := CheckSandbox(s.Invocation.Sandbox, c.hermetic(), by); err != nil {
		return fmt.Errorf("%w: %w", ErrSurprise, err)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	binaries, err := c.readBack(p, t, left.Dir)
	if err != nil {
		return err
	}
	all, err := c.linked(ctx, p, t, cmd, binaries)
	if err != nil {
		return err
	}
	return s.agrees(binaries, all)
}

// linked is what binaries that were made elsewhere link. It decides about licences
// and documents, and build info does not say all of it.
func (c *Compiler) linked(ctx context.Context, p source.Patched, t Target, cmd command, binaries []artifact.Binary) ([]Links, error) {
	packages, err := c.listing(ctx, p, t, cmd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrHere, err)
	}
	return links(packages, binaries)
}

func (c *Compiler) listing(ctx context.Context, p source.Patched, t Target, cmd command) (map[string]listed, error) {
	out, remove, err := c.Store.Temp("list") // to which nothing is written
	if err != nil {
		return nil, err
	}
	defer remove()
	spec, remove, err := c.prepare(ctx, p, t, cmd, out)
	if err != nil {
		return nil, err
	}
	defer remove()
	return list(ctx, spec, cmd.list)
}

// maxReason bounds why a sandbox was not hermetic, in bytes.
const maxReason = 4 << 10

// CheckSandbox refuses what another machine says of its sandbox if that is not
// what was asked for: one that hermetic wants, of the executor by, or of none. And
// it refuses what provenance refuses to say: it would be kept, and found by every
// build from then on.
func CheckSandbox(s artifact.Sandbox, hermetic bool, by string) error {
	unprintable := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	}
	switch {
	case hermetic && !s.Hermetic:
		return fmt.Errorf("it was not made hermetically: %.200q", s.Reason)
	case s.Executor != by:
		return fmt.Errorf("it was made by the executor %.100q", s.Executor)
	case (s.Worker == "") != (by == "") || len(s.Worker) > artifact.MaxWorker || unprintable(s.Worker):
		return fmt.Errorf("it was made by the worker %.100q", s.Worker)
	case len(s.Reason) > maxReason || unprintable(s.Reason) || s.Hermetic && s.Reason != "":
		return fmt.Errorf("it says why it was not made hermetically: %.100q", s.Reason)
	case by != "" && len(s.Namespaces) > 0 || by == "" && s.Hermetic && len(s.Namespaces) == 0,
		!slices.IsSorted(s.Namespaces) || slices.Contains(s.Namespaces, "") || slices.ContainsFunc(s.Namespaces, unprintable):
		return fmt.Errorf("it was made in the namespaces %.100q", s.Namespaces)
	}
	return nil
}

// agrees refuses what is said of binaries that are others by their own build info,
// and of what they link that is not what their source imports.
func (s step) agrees(binaries []artifact.Binary, links []Links) error {
	for _, tt := range []struct {
		what       string
		said, here any
	}{{"the binaries are", s.Binaries, binaries}, {"what they link is", s.Links, links}} {
		said, err := json.Marshal(tt.said)
		if err != nil {
			return err
		}
		here, err := json.Marshal(tt.here)
		if err != nil {
			return err
		}
		if !bytes.Equal(said, here) {
			return surprise("%s not what is said of them", tt.what)
		}
	}
	return nil
}

func surprise(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrSurprise}, args...)...)
}
