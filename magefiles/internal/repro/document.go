package repro

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"palisade/attestations/artifact"
)

// documents names the keys at which two JSON files differ.
func (c *comparison) documents(p place, a, b content) {
	first, err := firstDifference(a, b)
	if err != nil {
		return
	}
	va, errA := decode(a, c.lim.parsed)
	vb, errB := decode(b, c.lim.parsed)
	if errA != nil || errB != nil {
		return
	}
	before := len(c.found)
	c.values(p, "", va, vb, first)
	if len(c.found) == before {
		c.add(p.at("", first, "%s: the values are equal; white space, escapes or the order of keys differs", Encoding))
	}
}

// decode reads one JSON value and refuses what follows it. Numbers keep their
// digits.
func decode(a content, limit int64) (any, error) {
	data, err := a.all(limit)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the value")
	}
	return v, nil
}

// values adds a difference for each key, in order of keys, whose value
// differs. Lists of unequal length are compared as far as both go.
func (c *comparison) values(p place, path string, a, b any, offset int64) {
	if c.full {
		return
	}
	switch va := a.(type) {
	case map[string]any:
		vb, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Collect(maps.Keys(va))
		for k := range vb {
			if _, both := va[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			x, inA := va[k]
			y, inB := vb[k]
			at := join(path, k)
			switch {
			case !inB:
				c.add(p.at(at, offset, "key only in the first build"))
			case !inA:
				c.add(p.at(at, offset, "key only in the second build"))
			default:
				c.values(p, at, x, y, offset)
			}
		}
		return
	case []any:
		vb, ok := b.([]any)
		if !ok {
			break
		}
		if len(va) != len(vb) {
			c.add(p.at(path, offset, "%d elements in the first build, %d in the second", len(va), len(vb)))
		}
		for i := range min(len(va), len(vb)) {
			c.values(p, fmt.Sprintf("%s[%d]", path, i), va[i], vb[i], offset)
		}
		return
	}
	ta, tb := text(a), text(b)
	if ta == tb {
		return
	}
	if len(ta)+len(tb) <= 2*longestPiece {
		found := likely(ta, tb)
		for _, f := range found {
			c.add(p.at(path, offset, "%s", f))
		}
		if len(found) > 0 {
			return
		}
	}
	why := fmt.Sprintf("%s in the first build, %s in the second", short(a), short(b))
	if _, number := a.(json.Number); number && (path == "size" || strings.HasSuffix(path, ".size")) {
		why = string(OtherContent) + ": " + why
	}
	c.add(p.at(path, offset, "%s", why))
}

func join(path, key string) string {
	if strings.ContainsAny(key, ".[]\" ") || key == "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func text(v any) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

func short(v any) string {
	s := text(v)
	if len(s) > excerptLength {
		return s[:excerptLength] + "…"
	}
	return s
}

// manifests compares two release.json, in which timing may differ. Anything
// that is not a manifest is compared as the bytes it is.
func (c *comparison) manifests(p place, a, b content) error {
	first, err := firstDifference(a, b)
	if err != nil || first < 0 {
		return err
	}
	ma, errA := artifact.ParseManifest(a.reader())
	mb, errB := artifact.ParseManifest(b.reader())
	if err := errors.Join(errA, errB); err != nil {
		c.add(p.at("", first, "cannot be read as a release manifest, so compared as bytes: %v", err))
		return c.contents(p, a, b)
	}
	c.releases(p, ma, mb)
	return nil
}

// CompareManifests compares two manifests in all but the timing of their
// artifacts. Artifacts and images are paired by name. Each Difference's Section is the
// path of a key.
func CompareManifests(a, b *artifact.Manifest) []Difference {
	c := newComparison(defaults)
	c.releases(place{file: manifestName}, a, b)
	return c.found
}

func (c *comparison) releases(p place, a, b *artifact.Manifest) {
	for _, f := range []struct{ key, a, b string }{
		{"schema", a.Schema, b.Schema},
		{"distribution", a.Distribution, b.Distribution},
	} {
		if f.a != f.b {
			c.add(p.at(f.key, -1, "%q in the first build, %q in the second", f.a, f.b))
		}
	}
	var all [2][]named
	for i, m := range []*artifact.Manifest{a, b} {
		for _, r := range m.Artifacts {
			r.Timing = nil
			all[i] = append(all[i], named{"artifact", "artifacts[" + strconv.Quote(r.Name) + "]", r})
		}
		for _, image := range m.Images {
			all[i] = append(all[i], named{"image", "images[" + strconv.Quote(image.Name) + "]", image})
		}
	}
	c.records(p, all[0], all[1])
}

// named is an artifact or an image of a manifest.
type named struct {
	what, path string
	record     any
}

// records compares those of one path, and names those that only one side has.
func (c *comparison) records(p place, a, b []named) {
	find := func(list []named, path string) (named, bool) {
		i := slices.IndexFunc(list, func(n named) bool { return n.path == path })
		if i < 0 {
			return named{}, false
		}
		return list[i], true
	}
	for _, n := range a {
		if _, both := find(b, n.path); !both {
			c.add(p.at(n.path, -1, "%s only in the first build", n.what))
		}
	}
	for _, n := range b {
		if _, both := find(a, n.path); !both {
			c.add(p.at(n.path, -1, "%s only in the second build", n.what))
		}
	}
	for _, na := range a {
		nb, both := find(b, na.path)
		if !both {
			continue
		}
		va, errA := json.Marshal(na.record)
		vb, errB := json.Marshal(nb.record)
		if err := errors.Join(errA, errB); err != nil {
			c.add(p.at(na.path, -1, "cannot be compared: %v", err))
			continue
		}
		if bytes.Equal(va, vb) {
			continue
		}
		xa, _ := decode(bytesContent(va), int64(len(va)))
		xb, _ := decode(bytesContent(vb), int64(len(vb)))
		c.values(p, na.path, xa, xb, -1)
	}
}
