package modules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"palisade/magefiles/internal/child"
)

// Bounds of what is taken from the module proxy, and of how long it may take.
const (
	maxAnswer   = 32 << 20 // bytes that one question is answered with
	maxVersions = 20_000   // of one module; golang.org/toolchain has some thousands
	maxGoMod    = 1 << 20  // bytes
	maxReason   = 300      // bytes of what the proxy says
	patience    = 10 * time.Minute
)

// A Listing is what the module proxy says of a module's versions.
type Listing struct {
	Path     string
	Versions []string // as the proxy has them: there may be gaps, and what was retracted is among them
	Refused  string   // why there is no list, where the proxy answered that there is none to be had
	Err      error    // why nothing is known
}

// A Sight is what is known of one exact version. It counts if it has a GoMod.
type Sight struct {
	module.Version
	Refused     string    // the proxy answered that it is not to be had, which does not say that there is none
	Unconfirmed string    // why its go.mod is not to be had, or not what the checksum database knows
	Err         error     // why nothing is known
	Released    time.Time // as the proxy says
	Commit      string    // likewise: of git, 40 digits, "" where it names none
	GoMod       []byte    // confirmed by the checksum database
}

// List asks for the versions of modules, in the order of paths.
func (c *Client) List(ctx context.Context, paths ...string) ([]Listing, error) {
	for _, p := range paths {
		if err := module.CheckPath(p); err != nil {
			return nil, fmt.Errorf("asking for versions: %w", err)
		}
	}
	answers, err := c.ask(ctx, c.Cache(), []string{"list", "-m", "-e", "-json", "-versions", "-retracted"}, paths)
	if err != nil {
		return nil, err
	}
	all := make([]Listing, len(paths))
	for i, p := range paths {
		a := answers[module.Version{Path: p}]
		all[i] = Listing{Path: p, Versions: a.Versions}
		switch {
		case a.said() != "" && missing(a.said()):
			all[i].Refused = strings.TrimPrefix(reason(a.said()), "module "+p+": ")
		case a.said() != "":
			all[i].Err = fmt.Errorf("asking for the versions of %s: %w: %s", p, ErrFetch, reason(a.said()))
		case len(a.Versions) > maxVersions:
			all[i].Versions, all[i].Err = nil, fmt.Errorf("asking for the versions of %s: %w: there are more than %d", p, ErrFetch, maxVersions)
		}
	}
	return all, nil
}

// Look asks for exact versions, in the order of mods. What was had before is in the
// module cache, and is not asked for again: that it is seen says nothing of the
// proxy.
func (c *Client) Look(ctx context.Context, mods ...module.Version) ([]Sight, error) {
	if len(mods) == 0 {
		return nil, nil
	}
	args := make([]string, len(mods))
	for i, m := range mods {
		if err := module.Check(m.Path, m.Version); err != nil {
			return nil, fmt.Errorf("asking for a version: %w", err)
		}
		args[i] = m.String()
	}
	answers, err := c.ask(ctx, c.Cache(), []string{"list", "-m", "-e", "-json"}, args)
	if err != nil {
		return nil, err
	}
	all := make([]Sight, len(mods))
	var doubtful []string
	for i, m := range mods {
		if all[i], err = c.sight(m, answers[m]); err != nil {
			return nil, err
		}
		if s := all[i]; s.GoMod == nil && s.Refused == "" && s.Err == nil {
			doubtful = append(doubtful, args[i])
		}
	}
	if len(doubtful) == 0 {
		return all, nil
	}
	// Listing does not say why there is no go.mod. Downloading does, and
	// comes to nothing for the same reason.
	if answers, err = c.ask(ctx, c.Cache(), []string{"mod", "download", "-json"}, doubtful); err != nil {
		return nil, err
	}
	for i, m := range mods {
		if s := &all[i]; s.GoMod == nil && s.Refused == "" && s.Err == nil {
			s.doubt(answers[m].said())
		}
	}
	return all, nil
}

// Answers reports whether the module proxy gives an exact version now: an error,
// if it refuses to or cannot be asked. No module cache answers in its place.
func (c *Client) Answers(ctx context.Context, m module.Version) error {
	if err := module.Check(m.Path, m.Version); err != nil {
		return fmt.Errorf("asking for a version: %w", err)
	}
	empty, remove, err := c.Store.Temp("ask")
	if err != nil {
		return err
	}
	defer remove()
	answers, err := c.ask(ctx, empty, []string{"list", "-m", "-e", "-json"}, []string{m.String()})
	if err != nil {
		return err
	}
	if said := answers[m].said(); said != "" {
		return fmt.Errorf("asking the module proxy whether it gives %s, which there is: %w: %s", m, ErrFetch, reason(said))
	}
	return nil
}

// sight reads what the go command says of one version.
func (c *Client) sight(m module.Version, a answer) (Sight, error) {
	s := Sight{Version: m}
	if said := a.said(); said != "" {
		if missing(said) {
			s.Refused = reason(said)
		} else {
			s.Err = fmt.Errorf("asking for %s: %w: %s", m, ErrFetch, reason(said))
		}
		return s, nil
	}
	if a.Time != nil {
		s.Released = a.Time.UTC().Truncate(time.Second)
	}
	if a.Origin != nil && a.Origin.VCS == "git" && commitForm.MatchString(a.Origin.Hash) {
		s.Commit = a.Origin.Hash
	}
	if a.GoMod == "" {
		return s, nil
	}
	at, err := escaped(m)
	if err != nil {
		return Sight{}, err
	}
	if s.GoMod, err = readGoMod(filepath.Join(c.Cache(), "cache", "download", filepath.FromSlash(at.download)+".mod")); err != nil {
		s.Err = fmt.Errorf("asking for %s: %w: %w", m, ErrFetch, err)
	}
	return s, nil
}

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}$`)

func readGoMod(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxGoMod+1))
	if err == nil && len(data) > maxGoMod {
		err = fmt.Errorf("its go.mod is larger than %d bytes", maxGoMod)
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, data...), nil // not nil, even if it is empty
}

// doubt says why there is no go.mod: a version that the proxy lacks or the
// checksum database does not know does not count, and what could not be asked
// is not known.
func (s *Sight) doubt(said string) {
	switch {
	case said == "":
		s.Err = fmt.Errorf("asking for %s: %w: it has no go.mod, and the go command does not say why", s.Version, ErrFetch)
	case missing(said), strings.Contains(said, "SECURITY ERROR"), strings.Contains(said, "checksum mismatch"):
		s.Unconfirmed = reason(said)
	default:
		s.Err = fmt.Errorf("asking for %s: %w: %s", s.Version, ErrFetch, reason(said))
	}
}

// gone is how the go command says that a proxy or the checksum database
// answered, and that the answer was no.
var gone = regexp.MustCompile(`(: (403 Forbidden|404 Not Found|410 Gone)|: no such file or directory)$`)

func missing(said string) bool {
	line, _, _ := strings.Cut(said, "\n")
	return gone.MatchString(line)
}

// reason is the first line of what was said.
func reason(said string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	if len(line) > maxReason {
		line = line[:maxReason] + "…"
	}
	return strings.ToValidUTF8(line, "\uFFFD")
}

// An answer is what "go list -m -json" or "go mod download -json" print of
// a module.
type answer struct {
	Path, Version string
	Versions      []string
	Time          *time.Time
	GoMod         string
	Origin        *struct{ VCS, Hash string }
	Error         json.RawMessage // a text, or an object that holds one
}

func (a answer) said() string {
	var text string
	var object struct{ Err string }
	if json.Unmarshal(a.Error, &text) == nil {
		return text
	}
	if json.Unmarshal(a.Error, &object) == nil {
		return object.Err
	}
	return string(a.Error)
}

// ask runs the go command in a module of its own, with that module cache, and
// returns what it says of each of args, by path and, where that was part of the
// question, version. Only
// module proxies are asked: no address that a module path names is visited.
func (c *Client) ask(ctx context.Context, cache string, command, args []string) (map[module.Version]answer, error) {
	dir, remove, err := c.Store.Temp("ask")
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module palisade/ask\n"), 0o600); err != nil {
		return nil, err
	}
	env, err := c.environment(ctx, dir)
	if err != nil {
		return nil, err
	}
	if env, err = onlyProxies(env); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(limited, c.Go, append(command, args...)...)
	cmd.Dir, cmd.Env = dir, append(env, "GOMODCACHE="+cache)
	stdout, stderr := &child.Bounded{Room: maxAnswer}, &child.Bounded{Room: maxReason}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	runErr := child.Run(cmd)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if limited.Err() != nil {
		return nil, fmt.Errorf("asking the module proxy: %w: it did not answer in %v", ErrFetch, patience)
	}
	if stdout.Full() {
		return nil, fmt.Errorf("asking the module proxy: %w: the answer is larger than %d bytes", ErrFetch, maxAnswer)
	}
	answers := map[module.Version]answer{}
	for dec := json.NewDecoder(bytes.NewReader(stdout.Bytes())); ; {
		var a answer
		if err := dec.Decode(&a); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("asking the module proxy: %w: reading the go command's answer: %w", ErrFetch, err)
		}
		answers[module.Version{Path: a.Path, Version: a.Version}] = a
	}
	for _, arg := range args {
		p, v, _ := strings.Cut(arg, "@")
		if _, ok := answers[module.Version{Path: p, Version: v}]; !ok {
			return nil, fmt.Errorf("asking the module proxy: %w: no answer about %s: %v %s", ErrFetch, arg, runErr, reason(stderr.String()))
		}
	}
	return answers, nil
}

// onlyProxies leaves out of GOPROXY what is no proxy.
func onlyProxies(env []string) ([]string, error) {
	set := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "GOPROXY="); ok {
			set = v
		}
	}
	var kept strings.Builder
	for rest := set; rest != ""; {
		end := strings.IndexAny(rest, ",|")
		entry, separator := rest, ""
		if end >= 0 {
			entry, separator = rest[:end], rest[end:end+1]
		}
		rest = rest[len(entry)+len(separator):]
		if e := strings.TrimSpace(entry); e != "" && e != "direct" && e != "off" {
			kept.WriteString(e + separator)
		} else if e == "off" {
			break // nothing behind it counts
		}
	}
	proxies := strings.TrimRight(kept.String(), ",|")
	if proxies == "" {
		return nil, fmt.Errorf("%w: GOPROXY=%s names no module proxy that could be asked; run go env -u GOPROXY, or name one", ErrFetch, set)
	}
	return append(env, "GOPROXY="+proxies), nil
}
