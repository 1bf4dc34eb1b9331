package npm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"palisade/attestations/artifact"
)

// publicRegistry is what npm writes into a lock file for packages of its default
// registry, whichever registry they are fetched from.
const publicRegistry = "https://registry.npmjs.org/"

// maxPlaces bounds how deep packages lie in each other.
const maxPlaces = 16

// A Placed is a package that a package-lock.json pins, at the folder where npm
// installs it.
type Placed struct {
	LockedPackage
	Place    string // below the folder of the lock: node_modules/a/node_modules/@s/b
	Optional bool   // a host that it is not for does without
}

// packageLock is package-lock.json:
// https://docs.npmjs.com/cli/v11/configuring-npm/package-lock-json. What is not
// listed is refused: among it link, inBundle, hasShrinkwrap and an alias's name,
// which make a place hold something else than the registry's package of that name.
type packageLock struct {
	Name     string                     `json:"name"`
	Version  string                     `json:"version"`
	Lockfile int                        `json:"lockfileVersion"`
	Requires bool                       `json:"requires"`
	Packages map[string]json.RawMessage `json:"packages"`
}

type placedPackage struct {
	Version   string   `json:"version"`
	Resolved  string   `json:"resolved"`
	Integrity string   `json:"integrity"`
	Optional  bool     `json:"optional"`
	OS        []string `json:"os"`
	CPU       []string `json:"cpu"`
	Libc      []string `json:"libc"`

	// What says nothing of where a package lies or what it is.
	Dev         bool `json:"dev"`
	DevOptional bool `json:"devOptional"`
	Peer        bool `json:"peer"`
	Script      bool `json:"hasInstallScript"`

	License      json.RawMessage `json:"license"`
	Engines      json.RawMessage `json:"engines"`
	Bin          json.RawMessage `json:"bin"`
	Funding      json.RawMessage `json:"funding"`
	Deprecated   json.RawMessage `json:"deprecated"`
	Dependencies json.RawMessage `json:"dependencies"`
	Optionals    json.RawMessage `json:"optionalDependencies"`
	Peers        json.RawMessage `json:"peerDependencies"`
	PeersMeta    json.RawMessage `json:"peerDependenciesMeta"`
}

// ParsePackageLock reads npm's package-lock.json of lockfileVersion 3 and returns
// what it pins, sorted by place. A package that is not pinned by one sha512 alone,
// is not the registry's of its name and version, or lies where npm would not put
// it, any key that this package does not know, and a key twice are errors; so is a
// lock beyond its bounds.
func ParsePackageLock(data []byte) ([]Placed, error) {
	if len(data) > MaxLock {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrLock, MaxLock)
	}
	if err := keysOnce(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLock, err)
	}
	var l packageLock
	if err := strictly(data, &l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLock, err)
	}
	if l.Lockfile != 3 {
		return nil, fmt.Errorf("%w: lockfileVersion %d, want 3", ErrLock, l.Lockfile)
	}
	if len(l.Packages) > MaxLockPackages {
		return nil, fmt.Errorf("%w: more than %d packages", ErrLock, MaxLockPackages)
	}
	if _, ok := l.Packages[""]; !ok {
		return nil, fmt.Errorf("%w: it has no entry of the project itself", ErrLock)
	}
	var all []Placed
	for place, raw := range l.Packages {
		if place == "" {
			continue // the project itself, as its package.json says
		}
		p, err := placedAt(place, raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %.200q: %w", ErrLock, place, err)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Placed) int { return strings.Compare(a.Place, b.Place) })
	for _, p := range all {
		if parent := p.parent(); parent != "" && l.Packages[parent] == nil {
			return nil, fmt.Errorf("%w: %.200q: it lies in %s, where nothing is", ErrLock, p.Place, parent)
		}
	}
	return all, nil
}

func placedAt(place string, raw json.RawMessage) (Placed, error) {
	var said placedPackage
	if err := strictly(raw, &said); err != nil {
		return Placed{}, err
	}
	if strings.Count(place, modules) > maxPlaces {
		return Placed{}, fmt.Errorf("it lies in more than %d others", maxPlaces)
	}
	// The root's own folder has no slash before it.
	names := strings.Split("/"+place, "/"+modules)
	if names[0] != "" || len(names) < 2 {
		return Placed{}, errors.New("it is not below node_modules")
	}
	for _, name := range names[1:] {
		if len(name) > 214 || !nameForm.MatchString(name) {
			return Placed{}, fmt.Errorf("it lies in %.100q, which is no package's name", name)
		}
	}
	p := Placed{
		LockedPackage: LockedPackage{
			Package: artifact.Package{Name: names[len(names)-1], Version: said.Version, Integrity: said.Integrity},
			OS:      said.OS, CPU: said.CPU, Libc: said.Libc,
		},
		Place: place, Optional: said.Optional || said.DevOptional,
	}
	if _, err := check(p.Package); err != nil {
		return Placed{}, err
	}
	if want := publicRegistry + TarballPath(p.Package); said.Resolved != want {
		return Placed{}, fmt.Errorf("it is fetched from %.200q, and not from the registry as %s", said.Resolved, want)
	}
	return p, nil
}

// modules is the folder in which packages lie, with the slash behind it.
const modules = "node_modules/"

// parent is the place of the package in whose folder p lies, "" for the project's.
func (p Placed) parent() string {
	if i := strings.LastIndex(p.Place, "/"+modules); i >= 0 {
		return p.Place[:i]
	}
	return ""
}

// Fitting returns those packages that npm would install on h, in the same order.
// One that is not for h and not optional is an error; what lies in a package that
// is left out is left out with it.
func Fitting(all []Placed, h Host) ([]Placed, error) {
	var kept []Placed
	left := map[string]bool{}
	for _, p := range all { // a parent comes before what lies in it
		switch {
		case left[p.parent()]:
			left[p.Place] = true
		case p.Fits(h):
			kept = append(kept, p)
		case !p.Optional:
			return nil, fmt.Errorf("%w: %s is not for %s %s, and not optional", ErrLock, p.Place, h.OS, h.CPU)
		default:
			left[p.Place] = true
		}
	}
	return kept, nil
}

// strictly decodes one JSON value without any key that is not known.
func strictly(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// maxNesting bounds how deep a lock's values are.
const maxNesting = 32

// keysOnce refuses a text that is not one JSON value, one with a key twice in an
// object, which the decoder forgives, and one that is nested too deep.
func keysOnce(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := keysOnceIn(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows its value")
	}
	return nil
}

func keysOnceIn(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > maxNesting {
		return fmt.Errorf("nested deeper than %d", maxNesting)
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name := key.(string)
			if depth == 1 || depth == 3 {
				name = strings.ToLower(name) // the decoder takes a key in other capitals for one it knows
			}
			if seen[name] {
				return fmt.Errorf("key %.100q is there twice", key)
			}
			seen[name] = true
		}
		if err := keysOnceIn(dec, depth); err != nil {
			return err
		}
	}
	_, err = dec.Token() // what closes it
	return err
}
