package recipes

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"palisade/attestations/artifact"
)

// An Image says what the container image of a component is beside what all
// images are: from nothing, run as User, with certificates and licences.
type Image struct {
	Entrypoint []string    `yaml:"entrypoint"` // the first is a binary, "/bin/name"
	Cmd        []string    `yaml:"cmd"`
	Ports      []int       `yaml:"ports"`    // TCP
	Workdir    string      `yaml:"workdir"`  // made and User's, as volumes are; "/" if empty
	Volumes    []string    `yaml:"volumes"`  // absolute
	Licences   []string    `yaml:"licences"` // names in the archive; TextsName is there anyway
	Files      []ImageFile `yaml:"files"`    // configuration, root's
}

// An ImageFile is a file of the archive, or the recipe's own. One that names
// both is the archive's in vanilla images, for which nothing of ours is made,
// and the recipe's own in all others. It is left out where the archive does
// not carry it.
type ImageFile struct {
	Member string `yaml:"member"` // its name in the archive, without the folder
	Own    string `yaml:"own"`    // a file of the recipe's folder
	As     string `yaml:"as"`     // absolute: directly below /, or below /etc/ and the component's name
}

// What images have in common.
const (
	User           = 65532                      // and its group: whom images run as, whose the volumes are
	CredentialsDir = "/credentials"             // the volume where the first start makes certificate and password
	CredentialsEnv = "PALISADE_CREDENTIALS_DIR" // what tells it so; patches/exporter-toolkit reads it
)

// taken are the directories at the top of every image that no volume or file
// may lie in or be: others lay them.
var taken = []string{"/bin", "/etc", "/usr", "/tmp", "/dev", "/proc", "/sys", "/run", CredentialsDir}

// Credentials reports whether a variant makes credentials at its first start.
func Credentials(variant string) bool { return variant != "vanilla" }

// ImageFiles is what the image of a variant carries as configuration, for a
// platform, in the recipe's order. Either Member or Own of each is set.
func (r *Recipe) ImageFiles(p artifact.Platform, variant string) []ImageFile {
	carried := r.Members(p, variant)
	var all []ImageFile
	for _, f := range r.Image.Files {
		if variant == "vanilla" {
			f.Own = ""
		} else if f.Own != "" {
			f.Member = ""
		}
		if f.Own != "" || slices.ContainsFunc(carried, func(m Member) bool { return m.As == f.Member }) {
			all = append(all, f)
		}
	}
	return all
}

// ImageVolumes are the volumes of a variant's image, sorted.
func (r *Recipe) ImageVolumes(variant string) []string {
	all := slices.Clone(r.Image.Volumes)
	if Credentials(variant) {
		all = append(all, CredentialsDir)
	}
	slices.Sort(all)
	return all
}

// ImagePlatforms are the platforms that images are made for, in the recipe's
// order.
func (r *Recipe) ImagePlatforms() []artifact.Platform {
	return slices.DeleteFunc(slices.Clone(r.Platforms), func(p artifact.Platform) bool { return p.OS != "linux" })
}

var argumentForm = regexp.MustCompile(`^[!-~]+$`)

func (r *Recipe) validateImage(d *Distribution, bad func(string, ...any) error) error {
	i := r.Image
	if i == nil {
		return nil
	}
	if d.Roots == nil {
		return bad("image: distribution.yaml pins no roots, whose certificates every image holds")
	}
	if len(r.ImagePlatforms()) == 0 {
		return bad("image: no platform of the recipe is of linux")
	}
	if len(i.Entrypoint) == 0 || !slices.ContainsFunc(r.Binaries, func(b Binary) bool { return "/bin/"+b.Name == i.Entrypoint[0] }) {
		return bad("image: entrypoint %q does not begin with a binary of the recipe, /bin/name", i.Entrypoint)
	}
	for _, a := range slices.Concat(i.Entrypoint, i.Cmd) {
		if !argumentForm.MatchString(a) {
			return bad("image: argument %q is empty, or not printable ASCII without spaces", a)
		}
	}
	for k, p := range i.Ports {
		if p < 1 || p > 65535 || slices.Contains(i.Ports[:k], p) {
			return bad("image: port %d is none, or there twice", p)
		}
	}
	for k, v := range i.Volumes {
		if !r.ownDir(v) || slices.ContainsFunc(i.Volumes[:k], func(o string) bool { return within(v, o) || within(o, v) }) {
			return bad("image: volume %q is not an absolute plain path of its own", v)
		}
	}
	if i.Workdir != "" && !slices.Contains(i.Volumes, i.Workdir) && !r.ownDir(i.Workdir) {
		return bad("image: workdir %q is not an absolute plain path of its own", i.Workdir)
	}
	for k, l := range i.Licences {
		if l == TextsName || slices.Contains(i.Licences[:k], l) || !r.carries(l, func(m Member) bool { return m.Only == "" && m.From != "" }) {
			return bad("image: licence %q is there twice, or not a file of upstream's in every archive", l)
		}
	}
	return r.validateImageFiles(bad)
}

func (r *Recipe) validateImageFiles(bad func(string, ...any) error) error {
	i := r.Image
	for k, f := range i.Files {
		if f.Member == "" && f.Own == "" {
			return bad("image: file %d names none: it needs member or own", k+1)
		}
		if f.Member != "" && !r.carries(f.Member, func(m Member) bool { return m.Only == "" || m.Only == "linux" }) {
			return bad("image: file %q is not one of the archive for linux", f.Member)
		}
		if f.Own != "" {
			if info, err := fs.Stat(r.Dir, f.Own); f.Own != path.Base(f.Own) || r.needs(f.Own) || err != nil || !info.Mode().IsRegular() {
				return bad("image: file %q is not a plain name, not a file of this recipe, or one that the build needs", f.Own)
			}
		}
		if dir := path.Dir(f.As); !plainAbsolute(f.As) || dir != "/" && !within(dir, "/etc/"+r.Name) || slices.Contains(taken, f.As) {
			return bad("image: %q as %q is not a plain path directly below / or below /etc/%s", cmp.Or(f.Own, f.Member), f.As, r.Name)
		}
		for _, dir := range append(slices.Clone(i.Volumes), i.Workdir) {
			if dir != "" && (within(f.As, dir) || within(dir, f.As)) {
				return bad("image: %q lies in %s, which is there for what is written", f.As, dir)
			}
		}
		if slices.ContainsFunc(i.Files[:k], func(o ImageFile) bool { return within(f.As, o.As) || within(o.As, f.As) }) {
			return bad("image: %q is there twice, or a file and a folder", f.As)
		}
	}
	return nil
}

// carries reports whether the archive has a member called name that fits.
func (r *Recipe) carries(name string, fits func(Member) bool) bool {
	return slices.ContainsFunc(r.Archive, func(m Member) bool { return m.As == name && fits(m) })
}

// ownDir reports whether a directory that User may write to can be at name.
func (r *Recipe) ownDir(name string) bool {
	return plainAbsolute(name) && !slices.ContainsFunc(taken, func(dir string) bool { return within(name, dir) })
}

// plainAbsolute reports whether name is absolute and means the same to all who
// read it; it becomes part of archives and of JSON.
func plainAbsolute(name string) bool {
	below, ok := strings.CutPrefix(name, "/")
	return ok && fs.ValidPath(below) && below != "." && argumentForm.MatchString(below) && !strings.ContainsAny(below, `\:`) &&
		!strings.Contains(name, "/.wh.") // what removes something from a layer below
}

// within reports whether name is dir or lies below it.
func within(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// Roots is the Go module whose certificate authorities images trust:
// golang.org/x/crypto/x509roots/fallback, pinned like a toolchain.
type Roots struct {
	Module  string          `yaml:"module"`
	Version string          `yaml:"version"` // a pseudo-version, which tells when it was made
	Sum     string          `yaml:"sum"`     // h1, as the checksum database has it
	Zip     artifact.Digest `yaml:"zip"`     // of the module's zip file
	Licence string          `yaml:"licence"` // of the module and of what it was made from; empty if its own files tell
	Why     string          `yaml:"why"`     // what that is known from, in a sentence
}

// Statement is what r says of its licence, if it does.
func (r *Roots) Statement() (_ Licence, ok bool) {
	return Licence{Of: "pkg:golang/" + r.Module + "@" + r.Version, Is: r.Licence, Why: r.Why, Text: []string{"LICENSE"}}, r.Licence != ""
}

// Released is when the roots were made, the epoch of the layer that holds them.
func (r *Roots) Released() time.Time {
	t, _ := module.PseudoVersionTime(r.Version) // validate saw to it
	return t
}

// Artifact is r as a manifest names it.
func (r *Roots) Artifact() artifact.Module {
	zip := r.Zip
	return artifact.Module{Path: r.Module, Version: r.Version, Sum: r.Sum, Zip: &zip}
}

var registryForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

func (d *Distribution) validateImages() error {
	if d.Registry != "" && !registryForm.MatchString(d.Registry) {
		return fmt.Errorf("%w: distribution.yaml: registry %q is not of the form host/path, without https:// and tag", ErrInvalid, d.Registry)
	}
	r := d.Roots
	if r == nil {
		return nil
	}
	if err := module.Check(r.Module, r.Version); err != nil {
		return fmt.Errorf("%w: distribution.yaml: roots: %w", ErrInvalid, err)
	}
	if t, err := module.PseudoVersionTime(r.Version); err != nil || t.Unix() < 0 {
		return fmt.Errorf("%w: distribution.yaml: roots: version %q is not a pseudo-version, whose time images need", ErrInvalid, r.Version)
	}
	if !strings.HasPrefix(r.Sum, "h1:") || r.Zip.IsZero() {
		return fmt.Errorf("%w: distribution.yaml: roots: sum (h1:…) and zip (sha256:…) are both needed", ErrInvalid)
	}
	if (r.Licence == "") != (strings.TrimSpace(r.Why) == "") || r.Licence != "" && !ValidLicence(r.Licence) {
		return fmt.Errorf("%w: distribution.yaml: roots: licence %q is no SPDX expression, or why is missing, or is there without it", ErrInvalid, r.Licence)
	}
	return nil
}
