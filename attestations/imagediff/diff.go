// Package imagediff says what changed from one container image to another: of
// the image as a whole, and for each platform of its configuration, by layer,
// by file and by package. It says nothing of images with the same digest, and
// something of any others. Packages are those of the bills of materials that
// the images hold, so that what is compared is what is run.
//
// It compares what package ocilayout has read, and so held against the digests;
// who made it is for package verify. A bill of materials that is malformed is an
// error: it refuses to call two images alike in what it could not read.
package imagediff

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/ocilayout"
	"palisade/attestations/page"
	"palisade/attestations/spdx"
	"palisade/attestations/unpack"
)

// An Image is one side of a comparison.
type Image struct {
	Index     *ocilayout.Index
	Documents Documents
}

// Documents are the bills of materials of an image, by their digests. They are
// collected while it is read.
type Documents map[artifact.Digest][]byte

// Visitor collects what is to be compared. d must not be nil.
func (d Documents) Visitor() ocilayout.Visitor {
	total := 0
	return ocilayout.Visitor{
		Keep: func(m ocilayout.Member) bool { return isDocument(m) && m.Size <= maxBill },
		See: func(m ocilayout.Member, content []byte) error {
			if total += len(content); total > maxBills {
				return fmt.Errorf("%w: bills of materials of more than %d bytes", unpack.ErrTooLarge, maxBills)
			}
			d[m.Digest] = content
			return nil
		},
	}
}

// Bounds of one bill of materials, and of all of an image, in bytes: they are
// held at once.
const (
	maxBill  = 64 << 20
	maxBills = 256 << 20
)

func isDocument(m ocilayout.Member) bool {
	return !m.Folder && path.Dir(m.Name) == "usr/share/sbom" && strings.HasSuffix(m.Name, ".spdx.json")
}

// versionOf is what the index calls its version.
const versionOf = "org.opencontainers.image.version"

// Diff says what changed from a to b, the most important first.
func Diff(a, b Image) ([]Change, error) {
	d := differ{a: a, b: b, held: map[Change][]artifact.Platform{}}
	if err := d.images(); err != nil {
		return nil, fmt.Errorf("comparing image %s with %s: %w", a.Index.Digest, b.Index.Digest, err)
	}
	return d.sorted(), nil
}

type differ struct {
	a, b      Image
	common    []artifact.Platform            // that both images have
	platform  artifact.Platform              // that is looked at; zero of the whole
	held      map[Change][]artifact.Platform // without Platforms, and the platforms of each
	elsewhere int                            // changes that were told elsewhere
}

func (d *differ) add(c Change) {
	if c.What != OfPackage {
		c.From, c.To = page.Pair(c.From, c.To)
		c.Name, c.Detail = page.Line(c.Name), page.Line(c.Detail)
	}
	if held := d.held[c]; len(held) == 0 || held[len(held)-1] != d.platform {
		d.held[c] = append(held, d.platform)
	}
}

// sorted are the changes. One that holds on every platform that both images
// have names none.
func (d *differ) sorted() []Change {
	var all []Change
	for c, platforms := range d.held {
		if platforms[0] != (artifact.Platform{}) && len(platforms) < len(d.common) {
			var names []string
			for _, p := range platforms {
				names = append(names, p.String())
			}
			c.Platforms = strings.Join(slices.Sorted(slices.Values(names)), ", ")
		}
		all = append(all, c)
	}
	slices.SortFunc(all, compare)
	return all
}

func (d *differ) images() error {
	if d.a.Index.Digest == d.b.Index.Digest {
		return nil
	}
	d.maps(OfImage, "annotation", d.a.Index.Annotations, d.b.Index.Annotations, nil, nil)
	var order [2][]string
	for n, side := range []Image{d.a, d.b} {
		for _, i := range side.Index.Images {
			order[n] = append(order[n], i.Platform.String())
		}
	}
	for _, i := range d.a.Index.Images {
		if _, ok := d.b.Index.Platform(i.Platform); ok {
			d.common = append(d.common, i.Platform)
		} else {
			d.add(Change{Kind: Removed, What: OfPlatform, Name: i.Platform.String(), From: i.Digest.String()})
		}
	}
	for _, i := range d.b.Index.Images {
		if _, ok := d.a.Index.Platform(i.Platform); !ok {
			d.add(Change{Kind: Added, What: OfPlatform, Name: i.Platform.String(), To: i.Digest.String()})
		}
	}
	for _, p := range d.common {
		d.platform = p
		x, _ := d.a.Index.Platform(p)
		y, _ := d.b.Index.Platform(p)
		if x.Digest == y.Digest {
			continue
		}
		if err := d.platforms(x, y); err != nil {
			return fmt.Errorf("platform %s: %w", p, err)
		}
	}
	d.platform = artifact.Platform{}
	if len(d.held) == 0 {
		d.add(Change{Kind: Changed, What: OfImage, Detail: detailOf(order), From: d.a.Index.Digest.String(), To: d.b.Index.Digest.String()})
	}
	return nil
}

// detailOf says what it is in two indexes that name the same images.
func detailOf(order [2][]string) string {
	if !slices.Equal(order[0], order[1]) {
		return "order of the platforms"
	}
	return "form of the index"
}

func (d *differ) platforms(x, y ocilayout.Image) error {
	before := d.seen()
	d.maps(OfImage, "annotation of the manifest", x.Annotations, y.Annotations, d.a.Index.Annotations, d.b.Index.Annotations)
	d.maps(OfConfiguration, "label", x.Config.Labels, y.Config.Labels, x.Annotations, y.Annotations)
	d.configs(x.Config, y.Config)
	d.layers(x.Layers, y.Layers, layerNames(x), layerNames(y))
	d.files(x, y)
	if err := d.packages(x, y); err != nil {
		return err
	}
	if d.seen() == before {
		d.add(Change{Kind: Changed, What: OfImage, Detail: "form of the manifest", From: x.Digest.String(), To: y.Digest.String()})
	}
	return nil
}

// seen counts what was told, here or elsewhere.
func (d *differ) seen() int {
	n := d.elsewhere
	for _, platforms := range d.held {
		n += len(platforms)
	}
	return n
}

// value tells of one value of something.
func (d *differ) value(what What, name, from, to string) {
	switch {
	case from == to:
	case from == "":
		d.add(Change{Kind: Added, What: what, Name: name, To: to})
	case to == "":
		d.add(Change{Kind: Removed, What: what, Name: name, From: from})
	default:
		d.add(Change{Kind: Changed, What: what, Name: name, From: from, To: to})
	}
}

// maps tells of the values of maps, but of those that changed alike in others:
// an image says what it is in three places.
func (d *differ) maps(what What, name string, from, to, otherFrom, otherTo map[string]string) {
	keys := map[string]bool{}
	for _, m := range []map[string]string{from, to} {
		for key := range m {
			keys[key] = true
		}
	}
	// An empty value is one, and none is none.
	shown := func(m map[string]string, key string) string {
		if value, ok := m[key]; !ok || value != "" {
			return value
		}
		return `""`
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		before, after := shown(from, key), shown(to, key)
		if before != after && shown(otherFrom, key) == before && shown(otherTo, key) == after {
			d.elsewhere++
			continue
		}
		d.value(what, name+" "+key, before, after)
	}
}

func (d *differ) configs(x, y ocilayout.Config) {
	if x.Digest == y.Digest {
		return
	}
	stamp := func(c ocilayout.Config) string {
		if c.Created.IsZero() {
			return ""
		}
		return c.Created.UTC().Format("2006-01-02T15:04:05Z07:00")
	}
	for _, v := range []struct{ name, from, to string }{
		{"user", x.User, y.User}, {"working directory", x.WorkingDir, y.WorkingDir}, {"stop signal", x.StopSignal, y.StopSignal},
		{"created", stamp(x), stamp(y)}, {"entrypoint", list(x.Entrypoint), list(y.Entrypoint)}, {"command", list(x.Cmd), list(y.Cmd)},
	} {
		d.value(OfConfiguration, v.name, v.from, v.to)
	}
	d.maps(OfConfiguration, "variable", variables(x.Env), variables(y.Env), nil, nil)
	d.maps(OfConfiguration, "port", set(x.ExposedPorts), set(y.ExposedPorts), nil, nil)
	d.maps(OfConfiguration, "volume", set(x.Volumes), set(y.Volumes), nil, nil)
}

// list is a command so that two are alike only if their words are.
func list(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("%q", words)
}

func variables(env []string) map[string]string {
	all := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		all[name] = fmt.Sprintf("%q", value)
	}
	return all
}

func set(list []string) map[string]string {
	all := map[string]string{}
	for _, s := range list {
		all[s] = "declared"
	}
	return all
}

// packages compares the bills of materials of the same name. One that only one
// side has is a file that was added or removed.
func (d *differ) packages(x, y ocilayout.Image) error {
	before, after := filesOf(x), filesOf(y)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		m, n := before[name], after[name]
		if !isDocument(m.Member) || !isDocument(n.Member) || m.Digest == n.Digest {
			continue
		}
		from, err := d.a.Documents.read(m.Member)
		if err != nil {
			return err
		}
		to, err := d.b.Documents.read(n.Member)
		if err != nil {
			return err
		}
		for _, c := range spdx.Diff(from, to) {
			if c.What == spdx.OfFile { // of the archive, which are compared where they lie in the image
				continue
			}
			d.add(Change{Kind: Kind(c.Kind), What: OfPackage, Package: c})
		}
	}
	return nil
}

func (d Documents) read(m ocilayout.Member) (*spdx.Document, error) {
	data, ok := d[m.Digest]
	if !ok {
		return nil, fmt.Errorf("%s was not collected while the image was read, or is larger than %d bytes", m.Name, maxBill)
	}
	doc, err := spdx.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", m.Name, err)
	}
	return doc, nil
}
