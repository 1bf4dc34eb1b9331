package stories

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
)

// find looks for a module version: a fixture, or the pinned Go, which whoever
// builds with cold caches fetches as a module, too.
func (w *world) find(all map[module.Version]packed, v module.Version) (packed, bool) {
	w.mu.Lock()
	p, ok := all[v]
	w.mu.Unlock()
	if ok || v.Path != "golang.org/toolchain" || !strings.HasPrefix(v.Version, "v0.0.1-go"+goVersion()+".") {
		return p, ok
	}
	p, err := goToolchain()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stories: the proxy has no toolchain:", err)
	}
	return p, err == nil && p.path == v
}

// goToolchain is the pinned Go for this machine, out of the user's cache, or
// fetched into it. It is read if a story asks for it, and once.
var goToolchain = sync.OnceValues(func() (packed, error) {
	host := artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	p := packed{path: module.Version{Path: "golang.org/toolchain", Version: fmt.Sprintf("v0.0.1-go%s.%s-%s", goVersion(), host.OS, host.Arch)}}
	pin, _ := built.distribution.Toolchains.FindGo(goVersion())
	p.sum = pin.Hosts[host]
	m, err := built.box.Modules.One(context.Background(), p.path, p.sum)
	if err != nil {
		return packed{}, err
	}
	if p.zip, err = os.ReadFile(m.Zip); err != nil {
		return packed{}, err
	}
	if p.mod, err = os.ReadFile(strings.TrimSuffix(m.Zip, ".zip") + ".mod"); err != nil {
		return packed{}, err
	}
	p.goModSum, err = goModSum(p.mod)
	return p, err
})
