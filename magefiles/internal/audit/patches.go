package audit

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
)

var patchesChecks = []Check{
	{ID: "patches.declared", Rows: []int{24}, run: patchesDeclared,
		Doc: "every module that was changed is in the record of the build with its patches, and the binary says which build it is"},
}

// patchesDeclared holds what the binary says of itself against the record of
// its build.
func patchesDeclared(ctx context.Context, b *bench) (string, error) {
	info, err := buildinfo.ReadFile(b.Binary)
	if err != nil {
		return "", err
	}
	replaced := changed(info)
	if b.Record == nil {
		return "", skip("no record of this binary's build is known to hold it against; %d of its modules are replaced", len(replaced))
	}
	count := 0
	for _, m := range replaced {
		i := slices.IndexFunc(b.Record.Patched, func(p artifact.Patched) bool { return p.From.Path == m.Path })
		if i < 0 {
			return "", fail("%s is replaced by %s %s, and the record does not say so", m.Path, m.Replace.Path, m.Replace.Version)
		}
		p := b.Record.Patched[i]
		if p.To.Path != m.Replace.Path || p.To.Version != m.Replace.Version || p.To.Sum != m.Replace.Sum || p.From.Version != m.Version {
			return "", fail("%s is replaced by %s %s %s, and the record speaks of %s %s", m.Path, m.Replace.Path, m.Replace.Version, m.Replace.Sum, p.To.Version, p.To.Sum)
		}
		if len(p.Patches)+len(p.Added) == 0 {
			return "", fail("the record names nothing that was changed in %s", m.Path)
		}
		count += len(p.Patches)
	}
	if len(replaced) != len(b.Record.Patched) {
		return "", fail("the record speaks of %d changed modules, the binary of %d", len(b.Record.Patched), len(replaced))
	}
	if b.Record.Variant == "hardened" && count == 0 {
		return "", fail("it is called hardened, and has no patch")
	}
	version, err := b.version(ctx)
	if err != nil {
		return "", err
	}
	if !strings.Contains(version, b.Record.Version) {
		return "", fail("--version does not say %s", b.Record.Version)
	}
	return fmt.Sprintf("%d changed modules with %d patches, all in the record; --version says %s", len(replaced), count, b.Record.Version), nil
}

// changed is every module of the binary that was compiled from another.
func changed(info *debug.BuildInfo) (replaced []*debug.Module) {
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Replace != nil {
			replaced = append(replaced, m)
		}
	}
	return replaced
}

// version is what the binary prints when asked for its version.
func (b *bench) version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.Binary, "--version")
	cmd.Dir, cmd.Env = b.dir, b.environment(b.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asking for --version: %w", err)
	}
	return string(out), nil
}
