package webui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of what a build script says of its bundle.
const (
	maxReport  = 64 << 20 // bytes
	maxModules = 200_000
	maxID      = 4096 // bytes of an id or a file's name
)

// ErrReport is what every refusal of what a bundler said wraps.
var ErrReport = errors.New("what the bundler says of the interface does not hold")

// A report is what a build script observed of its bundler, in one JSON value
// without any other key. Ids are slash-separated paths below the workspace,
// with a query behind them at times, or what the bundler calls modules that
// are no files.
type report struct {
	Modules []reportModule `json:"modules"` // all that it read
	Files   []reportFile   `json:"files"`   // all that it wrote, below the workspace

	Compiled []compiledModule `json:"compiled"` // modules that are in Elm
}

// A compiledModule is what was made of a module in another language.
type compiledModule struct {
	ID   string `json:"id"`
	Code string `json:"code"` // before it is made small
}

type reportModule struct {
	ID      string   `json:"id"`
	Bundled bool     `json:"bundled"` // it belongs to a chunk
	Bytes   int64    `json:"bytes"`   // of script that the chunk has of it, before it is made small
	Imports []string `json:"imports"` // ids
}

// written reports whether anything of m is in the chunk or in the style sheet
// that belongs to it.
func (m reportModule) written() bool {
	return m.Bundled && (m.Bytes > 0 || styleOf(m.ID) != noStyle)
}

type reportFile struct {
	Name  string   `json:"name"`
	Chunk bool     `json:"chunk"` // it is made of modules; else of the files From
	From  []string `json:"from"`
}

// readReport reads a report and refuses one that is malformed, beyond its
// bounds, or at odds with itself.
func readReport(data []byte) (report, error) {
	refuse := func(format string, args ...any) (report, error) {
		return report{}, fmt.Errorf("%w: %w", ErrReport, fmt.Errorf(format, args...))
	}
	if len(data) > maxReport {
		return refuse("it is larger than %d bytes", maxReport)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r report
	if err := dec.Decode(&r); err != nil {
		return refuse("reading it: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return refuse("something follows its value")
	}
	if len(r.Modules) > maxModules || len(r.Files) > maxCount {
		return refuse("it names more than %d modules or %d files", maxModules, maxCount)
	}
	known := map[string]bool{}
	for _, m := range r.Modules {
		if m.ID == "" || len(m.ID) > maxID || known[m.ID] || m.Bytes < 0 || m.Bytes > 0 && !m.Bundled {
			return refuse("module %.100q is there twice, or no module", m.ID)
		}
		known[m.ID] = true
	}
	for _, m := range r.Modules {
		for _, id := range m.Imports {
			if !known[id] {
				return refuse("module %.100q imports %.100q, of which it says nothing", m.ID, id)
			}
		}
	}
	compiled := map[string]bool{}
	for _, c := range r.Compiled {
		if !known[c.ID] || compiled[c.ID] || !isElm(c.ID) {
			return refuse("compiled module %.100q is there twice, or no module in Elm", c.ID)
		}
		compiled[c.ID] = true
	}
	for _, m := range r.Modules {
		if isElm(m.ID) && !compiled[m.ID] {
			return refuse("what was made of module %.100q it does not say", m.ID)
		}
	}
	files := map[string]bool{}
	for _, f := range r.Files {
		if f.Name == "" || len(f.Name) > maxID || files[f.Name] {
			return refuse("file %.100q is there twice, or no file", f.Name)
		}
		files[f.Name] = true
		// A script that is an asset is the work of another bundler, a worker's.
		if !f.Chunk && (len(f.From) == 0 || isScript(f.Name)) {
			return refuse("of what file %.100q is made it does not say", f.Name)
		}
	}
	return r, nil
}

func isElm(id string) bool {
	name, _, _ := strings.Cut(id, "?")
	return strings.HasSuffix(name, ".elm")
}

func isScript(name string) bool {
	return strings.HasSuffix(name, ".js") || strings.HasSuffix(name, ".mjs") || strings.HasSuffix(name, ".cjs")
}

type style int

const (
	noStyle style = iota
	css
	otherStyle // whose imports this package cannot see
)

func styleOf(id string) style {
	name, _, _ := strings.Cut(id, "?")
	switch dot := strings.LastIndexByte(name, '.'); name[dot+1:] {
	case "css":
		return css
	case "less", "pcss", "postcss", "sass", "scss", "sss", "styl", "stylus":
		return otherStyle
	}
	return noStyle
}
