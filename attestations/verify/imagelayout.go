package verify

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/unpack"
)

// sameImage holds an image as it was read against the index of the release,
// digest by digest, and against the rules that every image of ours keeps.
func sameImage(got *ocilayout.Index, want artifact.Image, records []artifact.Record) error {
	if got.Digest != want.Index {
		return fmt.Errorf("%w: the image index is %s, not %s", ErrImage, got.Digest, want.Index)
	}
	if err := annotated(got.Annotations, want, records[0]); err != nil {
		return fmt.Errorf("the image index: %w", err)
	}
	if len(got.Images) != len(want.Platforms) {
		return fmt.Errorf("%w: it has %d platforms, not %d", ErrImage, len(got.Images), len(want.Platforms))
	}
	for n, p := range want.Platforms {
		err := samePlatform(got.Images[n], p)
		for _, labels := range []map[string]string{got.Images[n].Annotations, got.Images[n].Config.Labels} {
			if err == nil {
				err = annotated(labels, want, records[n])
			}
		}
		if err == nil {
			err = harmless(got.Images[n], want)
		}
		if err != nil {
			return fmt.Errorf("platform %s: %w", p.Platform, err)
		}
	}
	return nil
}

func samePlatform(got ocilayout.Image, want artifact.PlatformImage) error {
	for _, d := range []struct {
		what      string
		got, want any
	}{
		{"platform", got.Platform, want.Platform}, {"manifest", got.Digest, want.Manifest}, {"configuration", got.Config.Digest, want.Config},
		{"number of layers", len(got.Layers), len(want.Layers)},
	} {
		if d.got != d.want {
			return fmt.Errorf("%w: the %s is %v, not %v", ErrImage, d.what, d.got, d.want)
		}
	}
	for n, l := range want.Layers {
		if g := got.Layers[n]; g.Digest != l.Digest || g.DiffID != l.DiffID || g.Size != l.Size {
			return fmt.Errorf("%w: layer %s is %s of %d bytes, unpacked %s, not %s of %d, %s", ErrImage, l.Name, g.Digest, g.Size, g.DiffID, l.Digest, l.Size, l.DiffID)
		}
		if err := sameMembers(got.Layers[n].Members, l.Members); err != nil {
			return fmt.Errorf("layer %s: %w", l.Name, err)
		}
	}
	return nil
}

// sameMembers holds the files of a layer, in whatever order, against the index.
func sameMembers(got []ocilayout.Member, want []artifact.File) error {
	text := func(f artifact.File) string { return fmt.Sprintf("mode %s, %d bytes, %s", f.Mode, f.Size, f.Digest) }
	there, listed := map[string]string{}, map[string]string{}
	for _, m := range got {
		if !m.Folder {
			there[m.Name] = text(artifact.File{Mode: fmt.Sprintf("%04o", m.Mode), Size: m.Size, Digest: m.Digest})
		}
	}
	for _, f := range want {
		listed[f.Name] = text(f)
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if listed[name] == "" {
			return fmt.Errorf("%w: %.200q is not listed there", ErrMember, name)
		}
		if there[name] != listed[name] {
			return fmt.Errorf("%w: %.200q has %s, not %s", ErrMember, name, there[name], listed[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if there[name] == "" {
			return fmt.Errorf("%w: %.200q is missing", ErrMember, name)
		}
	}
	return nil
}

// annotated refuses annotations or labels that tell something else of the
// image than the index does. Scanners and registries believe them.
func annotated(got map[string]string, i artifact.Image, r artifact.Record) error {
	for _, a := range [][2]string{
		{"created", time.Unix(i.Epoch, 0).UTC().Format(time.RFC3339)},
		{"revision", r.Revision},
		{"title", i.Component},
		{"version", i.Version},
	} {
		if value := got["org.opencontainers.image."+a[0]]; value != a[1] {
			return fmt.Errorf("%w: its annotation or label %s is %.200q, not %q", ErrImage, a[0], value, a[1])
		}
	}
	return nil
}

// user is who a container runs as, if it is neither root nor a name, which
// would be looked up in a file.
var user = regexp.MustCompile(`^([1-9][0-9]{0,8}):([1-9][0-9]{0,8})$`)

// harmless refuses an image that runs as root, or lets whom it runs as change
// more than its volumes, or can run anything but its binaries. That is more
// than the digests say: they say that it is the one that was made.
func harmless(got ocilayout.Image, want artifact.Image) error {
	c := got.Config
	if !c.Created.Equal(time.Unix(want.Epoch, 0)) {
		return fmt.Errorf("%w: its configuration was created on %s", ErrImage, c.Created.UTC().Format(time.RFC3339))
	}
	if !user.MatchString(c.User) {
		return fmt.Errorf("%w: it runs as %.60q, which is not a number of a user and one of a group, neither of them 0", ErrImage, c.User)
	}
	own := map[string]bool{}
	for _, dir := range slices.Concat(c.Volumes, []string{c.WorkingDir}) {
		own[strings.TrimPrefix(dir, "/")] = true
	}
	for _, l := range got.Layers {
		for _, m := range l.Members {
			if err := harmlessMember(m, own, c.User); err != nil {
				return err
			}
			if dir := above(m.Name, own); dir != "" {
				return fmt.Errorf("%w: %.200q lies in /%.200s, which whoever runs it may write to", ErrImage, m.Name, dir)
			}
		}
	}
	return nil
}

// above is the folder of these that a file lies in, or nothing.
func above(name string, folders map[string]bool) string {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if folders[dir] {
			return dir
		}
	}
	return ""
}

func harmlessMember(m ocilayout.Member, own map[string]bool, user string) error {
	owner := fmt.Sprintf("%d:%d", m.UID, m.GID)
	switch {
	case m.Folder && m.Name == "tmp" && owner == "0:0" && m.Mode == 0o1777:
	case m.Folder && own[m.Name] && owner == user && (m.Mode == 0o755 || m.Mode == 0o700):
	case m.Folder && owner == "0:0" && m.Mode == 0o755:
	case !m.Folder && owner == "0:0" && m.Mode == unpack.PlainMode:
	case !m.Folder && owner == "0:0" && m.Mode == unpack.ProgramMode && path.Dir(m.Name) == binInside:
	default:
		return fmt.Errorf("%w: %.200q belongs to %s and has the mode %04o, as nothing there may", ErrImage, m.Name, owner, m.Mode)
	}
	return nil
}
