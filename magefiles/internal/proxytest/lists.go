package proxytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Added is when every module version was released that Add or Serve gave.
var Added = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// Hide leaves a version out of its module's list, and nowhere else.
func (p *Proxy) Hide(path, version string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hidden[module.Version{Path: path, Version: version}] = true
}

// Answer makes the proxy answer with a status, and a text, to whoever asks for
// a file: "/example.org/bell/@v/list". A "*" at its end stands for any text.
func (p *Proxy) Answer(file string, status int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[file] = reply{status, text}
}

// RefuseList makes the proxy refuse to list a module, as some do.
func (p *Proxy) RefuseList(t testing.TB, path string) {
	t.Helper()
	p.Answer("/"+escape(t, path)+"/@v/list", http.StatusForbidden, "This module version is not available.\n")
}

// Origin makes the proxy name the commit that a module version is of.
func (p *Proxy) Origin(t testing.TB, path, version, commit string) {
	t.Helper()
	at := "/" + escape(t, path) + "/@v/" + version + ".info"
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[at] = fmt.Appendf(nil, `{"Version":%q,"Time":%q,"Origin":{"VCS":"git","URL":"https://%s","Hash":%q}}`, version, Added.Format(time.RFC3339), path, commit)
}

type reply struct {
	status int
	text   string
}

// answer is what Answer gave for a file.
func (p *Proxy) answer(file string) (reply, bool) {
	if r, ok := p.answers[file]; ok {
		return r, true
	}
	for _, prefix := range slices.Sorted(maps.Keys(p.answers)) {
		if before, ok := strings.CutSuffix(prefix, "*"); ok && strings.HasPrefix(file, before) {
			return p.answers[prefix], true
		}
	}
	return reply{}, false
}

// listed is what a proxy makes of its files when it is asked for the versions of
// a module, the newest first, for nothing says that they be sorted; or for the
// latest.
func (p *Proxy) listed(file string) ([]byte, bool) {
	folder, latest := strings.CutSuffix(file, "/@latest")
	if !latest {
		var list bool
		if folder, list = strings.CutSuffix(file, "/@v/list"); !list {
			return nil, false
		}
	}
	path, err := module.UnescapePath(strings.TrimPrefix(folder, "/"))
	if err != nil {
		return nil, false
	}
	var versions []string
	for name := range p.files {
		version, ok := strings.CutPrefix(strings.TrimSuffix(name, ".info"), folder+"/@v/")
		if ok && strings.HasSuffix(name, ".info") && !p.hidden[module.Version{Path: path, Version: version}] {
			versions = append(versions, version)
		}
	}
	if len(versions) == 0 {
		return nil, false
	}
	semver.Sort(versions)
	slices.Reverse(versions)
	if latest {
		info, _ := json.Marshal(map[string]any{"Version": versions[0], "Time": Added})
		return info, true
	}
	return []byte(strings.Join(versions, "\n") + "\n"), true
}

func escape(t testing.TB, path string) string {
	t.Helper()
	escaped, err := module.EscapePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return escaped
}
