package vuln

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"palisade/attestations/artifact"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/child"
)

// Scanner is what scans, as module path@version: a test holds it against go.mod,
// for the build info of a program that is being tested names no module.
const Scanner = "golang.org/x/vuln@v1.8.0"

// childName is argv[0] of the process that scans: this program, which its init
// takes over.
const childName = "palisade-vuln-scan"

// Bounds of one scan. The largest binary takes some seconds and a gigabyte.
const (
	maxScan     = 5 * time.Minute
	maxOutput   = 64 << 20 // bytes
	maxMessages = 200_000
)

// Scan looks into a binary for what db knows. scratch is an empty directory that
// is the home of the process that does, and in which that leaves nothing.
func Scan(ctx context.Context, db Database, binary, scratch string) ([]Finding, error) {
	fail := func(err error) ([]Finding, error) {
		return nil, fmt.Errorf("scanning %s: %w", filepath.Base(binary), err)
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return fail(err)
	}
	compiled, err := compiled(db, binary)
	if err != nil {
		return fail(err)
	}
	out, err := inChild(ctx, db.Dir, binary, scratch)
	if err != nil {
		return fail(err)
	}
	found, err := db.findings(out, compiled)
	if err != nil {
		return fail(err)
	}
	return found, nil
}

// compiled is the version of each module that is in the binary. It refuses what
// the scanner would pass over in silence: a module that has no version, one in
// whose place another was compiled, and one that the snapshot was not taken of.
func compiled(db Database, binary string) (map[string]string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	golang, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	all := map[string]string{vex.Std: golang}
	if !semver.IsValid("v" + golang) {
		return nil, fmt.Errorf("%w: it was built with %.100q, which is no release of Go", ErrUnknown, info.GoVersion)
	}
	for _, m := range append(slices.Clone(info.Deps), &info.Main) {
		version := m.Version
		if m.Replace != nil {
			version = m.Replace.Version
			if m.Replace.Path != m.Path {
				return nil, fmt.Errorf("%w: %.200q was compiled in place of %.200q", ErrUnknown, m.Replace.Path, m.Path)
			}
		}
		// Of the main module the scanner knows the version that was replaced.
		if !semver.IsValid(version) || !semver.IsValid(m.Version) {
			return nil, fmt.Errorf("%w: %.200q has no version", ErrUnknown, m.Path)
		}
		all[m.Path] = version
	}
	for path := range all {
		if _, asked := slices.BinarySearch(db.Modules, path); !asked {
			return nil, fmt.Errorf("%w: it was not taken of %.200q", ErrSnapshot, path)
		}
	}
	return all, nil
}

// inChild has this program scan in another process, which is given nothing else.
func inChild(ctx context.Context, dir, binary, scratch string) ([]byte, error) {
	self := "/proc/self/exe" // also where the file was replaced meanwhile
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, maxScan)
	defer cancel()
	out, said := &child.Bounded{Room: maxOutput}, &child.Bounded{Room: 4096}
	cmd := exec.CommandContext(bounded, self)
	cmd.Args = []string{childName, dir, binary}
	// The library runs the go command that it finds, whose answer it does not use.
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = scratch, []string{"HOME=" + scratch, "PATH=/nonexistent"}, out, said
	err := child.Run(cmd)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case bounded.Err() != nil:
		return nil, fmt.Errorf("%w: it takes longer than %v", ErrUnknown, maxScan)
	case err != nil:
		return nil, fmt.Errorf("%w: %w: %s", ErrUnknown, err, oneLine(said.String()))
	case out.Full():
		return nil, fmt.Errorf("%w: more than %d bytes are said of it", ErrUnknown, maxOutput)
	}
	return out.Bytes(), nil
}

// What the scanner says, one message after another, of which each has one field.
type (
	message struct {
		Config *struct {
			Protocol string `json:"protocol_version"`
			Level    string `json:"scan_level"`
			Mode     string `json:"scan_mode"`
		} `json:"config"`
		SBOM *struct {
			Modules []frame `json:"modules"`
		} `json:"SBOM"`
		Finding *struct {
			OSV   string  `json:"osv"`
			Fixed string  `json:"fixed_version"`
			Trace []frame `json:"trace"`
		} `json:"finding"`
	}
	frame struct {
		Module   string `json:"module"`
		Path     string `json:"path"` // of a module of the SBOM
		Version  string `json:"version"`
		Package  string `json:"package"`
		Function string `json:"function"`
		Receiver string `json:"receiver"`
	}
)

// protocol is the form of the messages that is known here.
const protocol = "v1.0.0"

// findings are what the scanner says, whose words are of our own process.
func (db Database) findings(out []byte, compiled map[string]string) ([]Finding, error) {
	var all []Finding
	configured, listed := false, false
	dec := json.NewDecoder(bytes.NewReader(out))
	for n := 0; ; n++ {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || n == maxMessages {
			return nil, fmt.Errorf("%w: message %d of the scanner: %w", ErrUnknown, n+1, err)
		}
		switch {
		case m.Config != nil:
			if configured = m.Config.Protocol == protocol && m.Config.Level == "symbol" && m.Config.Mode == "binary"; !configured {
				return nil, fmt.Errorf("%w: the scanner speaks as %+v, not %s", ErrUnknown, *m.Config, protocol)
			}
		case m.SBOM != nil:
			listed = true
			for path := range compiled {
				if !slices.ContainsFunc(m.SBOM.Modules, func(f frame) bool { return f.Path == path }) {
					return nil, fmt.Errorf("%w: the scanner does not see %.200q in it", ErrUnknown, path)
				}
			}
		case m.Finding != nil:
			if len(m.Finding.Trace) == 0 {
				return nil, fmt.Errorf("%w: the scanner finds %.100q nowhere", ErrUnknown, m.Finding.OSV)
			}
			f, err := db.finding(m.Finding.OSV, m.Finding.Fixed, m.Finding.Trace[0], compiled)
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
	}
	if !configured || !listed {
		return nil, fmt.Errorf("%w: the scanner says nothing of it", ErrUnknown)
	}
	all = merge(all)
	for i, f := range all {
		if f.Level != Reachable && db.entries[f.ID].hidden(f.Module, compiled) {
			all[i].Level = Reachable
		}
	}
	return all, nil
}

func (db Database) finding(id, fixed string, at frame, compiled map[string]string) (Finding, error) {
	e, known := db.entries[id]
	if at.Package != "" {
		at.Module = e.moduleOf(at.Package, compiled)
	}
	version := compiled[at.Module]
	if !known || version == "" {
		return Finding{}, fmt.Errorf("%w: the scanner finds %.100q in %.200q of %.200q, of which nothing is known", ErrUnknown, id, at.Package, at.Module)
	}
	if at.Module == vex.Std {
		fixed = strings.TrimPrefix(fixed, "v")
	}
	f := Finding{
		ID: id, Aliases: e.aliases(), Summary: oneLine(e.Summary), Module: at.Module, Version: version, Fixed: fixed,
		Level: Linked, Symbols: []string{}, limited: e.limited(),
	}
	switch {
	case at.Function != "":
		f.Level, f.Symbols = Reachable, []string{at.Package + "." + strings.TrimPrefix(at.Receiver+"."+at.Function, ".")}
	case at.Package != "":
		f.Level = Imported
	}
	return f, nil
}

// modules are all that are linked into these artifacts, sorted.
func modules(records []artifact.Record) (all []string) {
	for _, r := range records {
		for path := range vex.Linked(r) {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
