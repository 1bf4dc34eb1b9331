package npm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"palisade/attestations/artifact"
)

// packageJSON is the file of a package that says what it is.
const packageJSON = "package.json"

// Install lays packages out below dir as "npm ci --ignore-scripts" would on h, with
// no links to their programs, and runs nothing. Each is fetched and verified, and
// has to call itself what the lock calls it. It returns those that it installed:
// an optional one that says itself that it is not for h, as older versions of npm
// forget to say in the lock, is left out, and what lies in it with it.
//
// dir must hold no node_modules. After an error it holds a part.
func (c *Client) Install(ctx context.Context, all []Placed, h Host, dir string) ([]Placed, error) {
	if _, err := os.Lstat(filepath.Join(dir, "node_modules")); err == nil {
		return nil, fmt.Errorf("installing npm packages: %s has some already", dir)
	}
	var packages []artifact.Package
	at := map[artifact.Package]int{}
	for _, p := range all {
		if _, ok := at[p.Package]; !ok {
			at[p.Package] = len(packages)
			packages = append(packages, p.Package)
		}
	}
	tarballs, err := c.FetchAll(ctx, packages)
	if err != nil {
		return nil, err
	}
	said := make([]LockedPackage, len(packages))
	for i, p := range packages {
		if said[i], err = selfOf(tarballs[i], p); err != nil {
			return nil, fmt.Errorf("installing npm package %s@%s: %w", p.Name, p.Version, err)
		}
	}
	own := slices.Clone(all)
	for i, p := range own {
		own[i].LockedPackage = said[at[p.Package]]
	}
	kept, err := Fitting(own, h)
	if err != nil {
		return nil, err
	}
	for _, p := range kept {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := install(tarballs[at[p.Package]], dir, p.Place); err != nil {
			return nil, fmt.Errorf("installing npm package %s@%s as %s: %w", p.Name, p.Version, p.Place, err)
		}
	}
	return kept, nil
}

// selfOf is what the package in a tarball says of the hosts that it is for, if it is
// the one it has to be.
func selfOf(tarball string, p artifact.Package) (LockedPackage, error) {
	files, err := Read(tarball, []string{packageJSON})
	if err != nil {
		return LockedPackage{}, err
	}
	var self struct {
		Name, Version string
		OS, CPU, Libc words
	}
	if err := json.Unmarshal(files[packageJSON], &self); err != nil {
		return LockedPackage{}, fmt.Errorf("%w: reading its %s: %w", ErrArchive, packageJSON, err)
	}
	if self.Name != p.Name || strings.TrimPrefix(self.Version, "v") != p.Version {
		return LockedPackage{}, fmt.Errorf("%w: it calls itself %.200q@%.100q", ErrArchive, self.Name, self.Version)
	}
	return LockedPackage{Package: p, OS: self.OS, CPU: self.CPU, Libc: self.Libc}, nil
}

// words is a list of words, of which one alone may stand for itself.
type words []string

// UnmarshalJSON reads a list or a word.
func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// install unpacks a tarball at a place that the lock names. A folder is there
// already if a package in whose folder it lies brought it along, as bundled
// packages are: npm would put this one over it.
func install(tarball, dir, place string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Lstat(place); err == nil {
		return fmt.Errorf("%w: a package that it lies in has brought one along", ErrArchive)
	} else if !os.IsNotExist(err) {
		return err
	}
	if err := root.MkdirAll(place, 0o755); err != nil {
		return err
	}
	inside, err := root.OpenRoot(place)
	if err != nil {
		return err
	}
	defer inside.Close()
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	return unpack(f, inside)
}
