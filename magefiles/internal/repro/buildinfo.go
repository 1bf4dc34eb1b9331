package repro

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"runtime/debug"
	"strings"

	"palisade/magefiles/internal/goprogram"
)

// buildInfo compares what two Go binaries say of themselves. A file that is
// no Go binary, or says nothing, differs in nothing.
func (c *comparison) buildInfo(p place, a, b content) (found []Difference) {
	ia, errA := readBuildInfo(a)
	ib, errB := readBuildInfo(b)
	if errA != nil || errB != nil {
		if (errA == nil) != (errB == nil) {
			which := "first"
			if errA != nil {
				which = "second"
			}
			found = append(found, p.at("build info", -1, "%s: only the %s build has build info", BuildSettings, which))
		}
		return found
	}
	differ := func(cause Cause, what, x, y string) {
		if x != y {
			found = append(found, p.at("build info", -1, "%s: %s%s in the first build, %s in the second", cause, what, orNone(x), orNone(y)))
		}
	}
	differ(Toolchain, "", ia.GoVersion, ib.GoVersion)
	differ(BuildSettings, "package ", ia.Path, ib.Path)
	differ(ModuleVersion, "main module ", module(&ia.Main), module(&ib.Main))
	depsA, depsB := map[string]string{}, map[string]string{}
	settingsA, settingsB := map[string]string{}, map[string]string{}
	var paths, keys []string
	for _, m := range ia.Deps {
		depsA[m.Path] = module(m)
		paths = append(paths, m.Path)
	}
	for _, m := range ib.Deps {
		depsB[m.Path] = module(m)
		if depsA[m.Path] == "" {
			paths = append(paths, m.Path)
		}
	}
	for _, s := range ia.Settings {
		settingsA[s.Key] = s.Value
		keys = append(keys, s.Key)
	}
	for _, s := range ib.Settings {
		settingsB[s.Key] = s.Value
		if _, both := settingsA[s.Key]; !both {
			keys = append(keys, s.Key)
		}
	}
	for _, path := range paths {
		differ(ModuleVersion, "", depsA[path], depsB[path])
	}
	for _, key := range keys {
		x, y := settingsA[key], settingsB[key]
		for _, cause := range causesOfSetting(key, x, y) {
			differ(cause, key+"=", x, y)
		}
	}
	return found
}

// causesOfSetting are why what was asked for differs: it may hold the mark of a
// host, as -ldflags=-X and CGO_CFLAGS=-I do.
func causesOfSetting(key, a, b string) (all []Cause) {
	if strings.HasPrefix(key, "vcs") {
		return []Cause{Source}
	}
	for _, f := range likely(a, b) {
		if f.cause != OtherContent {
			all = append(all, f.cause)
		}
	}
	if len(all) == 0 {
		return []Cause{BuildSettings}
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func readBuildInfo(a content) (info *debug.BuildInfo, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading build info: %v", r)
		}
	}()
	if err := goprogram.Sound(a, a.size); err != nil {
		return nil, err
	}
	return buildinfo.Read(a)
}

// module is a module as `go version -m` shows it.
func module(m *debug.Module) string {
	s := m.Path
	for _, part := range []string{m.Version, m.Sum} {
		if part != "" {
			s += " " + part
		}
	}
	if m.Replace != nil {
		s += " => " + module(m.Replace)
	}
	return s
}

// goBuildID is the Go build id in quotes, from the note of an ELF file or the
// start of the code elsewhere.
func goBuildID(a content) (id string) {
	if goprogram.Sound(a, a.size) != nil {
		return "unreadable"
	}
	defer func() {
		if recover() != nil {
			id = "unreadable"
		}
	}()
	if f, err := elf.NewFile(a); err == nil {
		s := f.Section(".note.go.buildid")
		if s == nil || s.Offset+s.FileSize > uint64(a.size) {
			return "none"
		}
		// A note is three words of lengths and type, a four-byte name, the id.
		note := a.part(int64(s.Offset), int64(s.FileSize)).head(512)
		if len(note) <= 16 {
			return "none"
		}
		return fmt.Sprintf("%q", bytes.TrimRight(note[16:], "\x00"))
	}
	const reach = 64 << 10
	head := a.head(reach)
	start := bytes.Index(head, []byte(buildIDPrefix))
	if start < 0 {
		return "none"
	}
	rest := head[start+len(buildIDPrefix):]
	end := bytes.Index(rest, []byte(buildIDSuffix))
	if end < 0 {
		return "none"
	}
	return fmt.Sprintf("%q", rest[:end])
}
