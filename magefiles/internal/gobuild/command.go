package gobuild

import (
	"slices"
	"strings"

	"palisade/recipes"
)

// Invocation is how the go command is run for a recipe, as it sees that itself,
// and all of its environment: what artifact.Invocation records.
func Invocation(r *recipes.Recipe, d *recipes.Distribution, t Target) (args, env []string) {
	cmd := commandOf(r, d, t)
	return seen(cmd.args), seen(cmd.env)
}

// commandOf is the command without the lock that it reads.
func commandOf(r *recipes.Recipe, d *recipes.Distribution, t Target) command {
	chosen := []string{
		"-buildvcs=false", // there is no repository around the source
		"-mod=readonly",   // the lock is the lock
		"-modfile=" + lockDir + "/build.mod",
		"-tags=" + strings.Join(tagsFor(r, t), ","),
	}
	var packages []string
	for _, b := range r.Binaries {
		packages = append(packages, b.Package)
	}
	return command{
		args: slices.Concat([]string{
			goRoot + "/bin/go", "build",
			"-trimpath", // no path of this machine
			"-ldflags=" + stamps(r, d, t.Variant),
			"-o", outDir + "/",
		}, chosen, packages),
		list: slices.Concat([]string{goRoot + "/bin/go", "list", "-deps", "-json=ImportPath,Standard,Module,Imports,ImportMap"}, chosen, packages),
		env:  environment(t.Platform),
	}
}
