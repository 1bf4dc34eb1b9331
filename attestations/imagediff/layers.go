package imagediff

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/ocilayout"
)

// layerNames are what the history calls the layers, or their numbers where it
// does not tell them apart.
func layerNames(i ocilayout.Image) []string {
	names := slices.Clone(i.Config.History)
	seen := map[string]bool{}
	for _, name := range names {
		seen[name] = true
	}
	if len(names) != len(i.Layers) || len(seen) != len(names) || seen[""] {
		names = nil
		for n := range i.Layers {
			names = append(names, fmt.Sprint(n+1))
		}
	}
	return names
}

// layers compares the layers of the same name.
func (d *differ) layers(x, y []ocilayout.Layer, namesX, namesY []string) {
	for n, name := range namesX {
		at := slices.Index(namesY, name)
		if at < 0 {
			d.add(Change{Kind: Removed, What: OfLayer, Name: name, From: layerText(x[n])})
			continue
		}
		from, to := x[n], y[at]
		if from.Digest == to.Digest {
			continue
		}
		detail := ""
		switch {
		case from.DiffID == to.DiffID:
			detail = "compression alone"
		case alike(from.Members, to.Members):
			detail = "times or order alone"
		}
		d.add(Change{Kind: Changed, What: OfLayer, Name: name, Detail: detail, From: layerText(from), To: layerText(to)})
	}
	for n, name := range namesY {
		if !slices.Contains(namesX, name) {
			d.add(Change{Kind: Added, What: OfLayer, Name: name, To: layerText(y[n])})
		}
	}
	if both := shared(namesX, namesY); !slices.Equal(both, shared(namesY, namesX)) {
		d.add(Change{Kind: Changed, What: OfLayer, Detail: "order", From: list(namesX), To: list(namesY)})
	}
}

// alike reports whether two layers hold the same, in whatever order.
func alike(x, y []ocilayout.Member) bool {
	byName := func(members []ocilayout.Member) []ocilayout.Member {
		return slices.SortedFunc(slices.Values(members), func(a, b ocilayout.Member) int { return strings.Compare(a.Name, b.Name) })
	}
	return slices.Equal(byName(x), byName(y))
}

// shared are those of names that others has too.
func shared(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return !slices.Contains(others, s) })
}

func layerText(l ocilayout.Layer) string { return fmt.Sprintf("%s, %d bytes", l.Digest, l.Size) }

// A file is a file or folder, and the layer that it is in: of a folder the
// lowest.
type file struct {
	ocilayout.Member
	layer string
}

// filesOf is the root file system of a platform, by name. Package ocilayout
// has made sure that each file is in one layer.
func filesOf(i ocilayout.Image) map[string]file {
	all, names := map[string]file{}, layerNames(i)
	for n, l := range i.Layers {
		for _, m := range l.Members {
			if _, there := all[m.Name]; !there {
				all[m.Name] = file{m, names[n]}
			}
		}
	}
	return all
}

func (d *differ) files(x, y ocilayout.Image) {
	before, after := filesOf(x), filesOf(y)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		from := before[name]
		to, there := after[name]
		if !there || from.Folder != to.Folder {
			d.add(Change{Kind: Removed, What: OfFile, Name: from.shown(), From: from.text()})
			if !there {
				continue
			}
			d.add(Change{Kind: Added, What: OfFile, Name: to.shown(), To: to.text()})
			continue
		}
		if from.Digest != to.Digest {
			kind, detail := d.kind()
			d.add(Change{Kind: kind, What: OfFile, Name: from.shown(), Detail: detail, From: from.text(), To: to.text()})
		}
		for _, v := range []struct{ detail, from, to string }{
			{"mode", from.mode(), to.mode()}, {"owner", from.owner(), to.owner()}, {"layer", from.layer, to.layer},
		} {
			if v.from != v.to {
				d.add(Change{Kind: Changed, What: OfFile, Name: from.shown(), Detail: v.detail, From: v.from, To: v.to})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, there := before[name]; !there {
			to := after[name]
			d.add(Change{Kind: Added, What: OfFile, Name: to.shown(), To: to.text()})
		}
	}
}

// kind is what another content of the same file is: under the same version of
// the image, what an auditor must see first.
func (d *differ) kind() (Kind, string) {
	from, to := d.a.Index.Annotations[versionOf], d.b.Index.Annotations[versionOf]
	if from != "" && from == to {
		return ContentChanged, from
	}
	return Changed, ""
}

// shown is the name as a container sees it.
func (f file) shown() string {
	if f.Folder {
		return "/" + f.Name + "/"
	}
	return "/" + f.Name
}

func (f file) text() string {
	if f.Folder {
		return f.mode() + ", " + f.owner()
	}
	return fmt.Sprintf("%s, %d bytes", f.Digest, f.Size)
}

func (f file) mode() string { return fmt.Sprintf("%04o", f.Mode) }

func (f file) owner() string { return fmt.Sprintf("%d:%d", f.UID, f.GID) }
