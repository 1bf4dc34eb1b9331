package recipes

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// FullVersion is what --version and file names say: "3.15.0-palisade.1" for
// hardened, "3.15.0-vanilla" for vanilla.
func (r *Recipe) FullVersion(d *Distribution, variant string) string {
	if variant == "hardened" {
		return fmt.Sprintf("%s-%s.%d", r.Version, d.Name, r.Revision)
	}
	return r.Version + "-" + variant
}

// SealedVersion is the version of module m once it was changed for variant:
// a pre-release of the patch version after m's, so that it sorts between the
// two, "v0.315.1-0.palisade.1". Upstream's module has ".elm" behind that where its
// web interface is compiled from Elm: a recipe that can also take another one
// seals two modules, of which neither is to be taken for the other.
func (r *Recipe) SealedVersion(d *Distribution, m module.Version, variant string) (string, error) {
	canonical := strings.SplitN(strings.TrimPrefix(semver.Canonical(m.Version), "v"), "-", 2)[0]
	var major, minor, patch int
	if _, err := fmt.Sscanf(canonical, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return "", fmt.Errorf("deriving the patched version of %s: %w", m, err)
	}
	suffix := d.Name
	if variant != "hardened" {
		suffix = variant
	}
	version := fmt.Sprintf("v%d.%d.%d-0.%s.%d", major, minor, patch+1, suffix, r.Revision)
	if m.Path == r.Module && r.UI.Kind() == ElmUI {
		version += "." + ElmUI
	}
	return version, nil
}

// StampedRevision is what --version calls the revision: upstream's commit
// where the recipe knows it, else the hash of the source.
func (r *Recipe) StampedRevision() string {
	if r.Commit != "" {
		return r.Commit
	}
	return r.Lock.Sums[module.Version{Path: r.Module, Version: r.Lock.Upstream}]
}

// ModuleVersion is the version of upstream's module for a release, "v" before
// it. A module of a major version above 1 whose path does not say so follows
// Prometheus, where 3.15.0 is v0.315.0.
func (r *Recipe) ModuleVersion(release string) string {
	var major, minor, patch int
	_, pathMajor, _ := module.SplitPathVersion(r.Module)
	if n, _ := fmt.Sscanf(release, "%d.%d.%d", &major, &minor, &patch); n == 3 && major > 1 && pathMajor == "" {
		return fmt.Sprintf("v0.%d%02d.%d", major, minor, patch)
	}
	return "v" + release
}

// Release is the release whose module has that version: what ModuleVersion turns
// into it. A pre-release is none that a recipe could be of, nor is a version that
// does not follow the module's own.
func (r *Recipe) Release(moduleVersion string) (string, bool) {
	release := strings.TrimPrefix(moduleVersion, "v")
	var minor, patch int
	if n, _ := fmt.Sscanf(release, "0.%d.%d", &minor, &patch); n == 2 && minor >= 200 && r.ModuleVersion(r.Version) != "v"+r.Version {
		release = fmt.Sprintf("%d.%d.%d", minor/100, minor%100, patch)
	}
	return release, versionForm.MatchString(release) && r.ModuleVersion(release) == moduleVersion
}

// ShortName is the last element of a module path that is not a major version:
// the folder of its patches.
func ShortName(modulePath string) string {
	prefix, _, ok := module.SplitPathVersion(modulePath)
	if !ok {
		prefix = modulePath
	}
	return path.Base(prefix)
}
