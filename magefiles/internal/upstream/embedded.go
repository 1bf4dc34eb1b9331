package upstream

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"palisade/magefiles/internal/goprogram"
)

// A file is one that a program embeds. Its content is that of what it unpacks to,
// if it is compressed.
type file struct {
	size         int64
	sum, content [sha256.Size]byte
}

// Bounds of what is unpacked of one program.
const (
	maxStreams  = 4096
	maxStarts   = 1 << 14 // of what might be a stream
	maxStream   = 64 << 20
	maxUnzipped = 512 << 20
)

func (p *program) embed(data []byte, files []goprogram.File) error {
	p.embedded = map[string]file{}
	left := int64(maxUnpacked) // tables may speak of the same bytes
	unzipped := &limited{left: maxUnzipped}
	for _, f := range files {
		name := f.Name
		for n := 2; p.has(name); n++ {
			name = fmt.Sprintf("%s (%d)", f.Name, n)
		}
		content := data[f.Offset : f.Offset+f.Size]
		if left -= f.Size; left < 0 {
			return fmt.Errorf("%w: embedded files of more than %d bytes", ErrTooLarge, int64(maxUnpacked))
		}
		made := file{size: f.Size, sum: sha256.Sum256(content)}
		made.content = made.sum
		if strings.HasSuffix(f.Name, ".gz") {
			if _, sum, ok := unpacked(content, unzipped); ok {
				made.content = sum
			}
		}
		p.embedded[name] = made
	}
	return nil
}

func (p *program) has(name string) bool { _, ok := p.embedded[name]; return ok }

// unpacked is the size and digest of what a gzip stream at the beginning of data
// unpacks to, if it is a whole one and nothing is past its bounds; all takes off
// what it unpacked.
func unpacked(data []byte, all *limited) (size int64, sum [sha256.Size]byte, ok bool) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, sum, false
	}
	z.Multistream(false)
	h := sha256.New()
	all.r = z
	size, err = io.Copy(h, io.LimitReader(all, maxStream+1))
	if err != nil || size > maxStream {
		return 0, sum, false
	}
	h.Sum(sum[:0])
	return size, sum, true
}

// find looks for what is embedded without a table of embed's: every gzip stream, by
// what it unpacks to, that is not of an embedded file; and the assets, each as such
// a stream or as it is.
func (p *program) find(data []byte, assets map[string][]byte) error {
	p.streams = map[[sha256.Size]byte]int64{}
	known := map[[sha256.Size]byte]bool{}
	for _, f := range p.embedded {
		known[f.content] = true
	}
	all := &limited{left: maxUnzipped}
	magic := []byte("\x1f\x8b\x08")
	starts := 0
	for at := bytes.Index(data, magic); at >= 0; {
		if starts++; starts > maxStarts || len(p.streams) > maxStreams || all.left <= 0 {
			return fmt.Errorf("%w: more gzip streams in a program than are read", ErrTooLarge)
		}
		if size, sum, ok := unpacked(data[at:], all); ok && !known[sum] {
			p.streams[sum] = size
		}
		next := bytes.Index(data[at+1:], magic)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	p.assets = map[string]bool{}
	for name, content := range assets {
		_, packed := p.streams[sha256.Sum256(content)]
		p.assets[name] = packed || bytes.Contains(data, content)
	}
	return nil
}

// files compares what is embedded with a name.
func (j *judge) files() {
	if len(j.a.embedded)+len(j.b.embedded) == 0 {
		// Only of a recipe without an interface is it certain that there is none.
		if j.k.Recipe.UI != nil {
			j.unseen(j.name, "embedded files: neither has any that has a name, and the recipe has an interface; the programs have %d and %d bytes", j.a.size, j.b.size)
			return
		}
		j.agree(j.name, "embeds nothing by name, as the recipe says")
		return
	}
	equal := 0
	for _, name := range slices.Sorted(maps.Keys(union(j.a.embedded, j.b.embedded))) {
		a, inA := j.a.embedded[name]
		b, inB := j.b.embedded[name]
		if inA && inB && a.sum == b.sum {
			equal++
			continue
		}
		j.say("embedded file "+name, a.show(inA), b.show(inB), j.whyFile(name, a, b, inA, inB))
	}
	j.counted(equal, "embedded files")
}

func (j *judge) whyFile(name string, a, b file, inA, inB bool) Reason {
	ui := j.k.Recipe.UI
	sealed := j.sealed(&j.a.info.Main)
	switch {
	case inA && inB && a.content == b.content:
		return Compressed
	case ui == nil || !sealed:
		return Unexplained
	// What is taken has the name of its folder in common with what is built.
	case ui.Bundle != nil && strings.HasPrefix(name, "app/dist/"):
		return Taken
	case ui.Pnpm != nil && !inA && strings.HasPrefix(name, "static/react-app/"):
		return OldUI
	}
	return Unexplained
}

func (f file) show(there bool) string {
	if !there {
		return ""
	}
	return fmt.Sprintf("%d bytes, sha256 %x", f.size, f.sum[:6])
}

// streams compares what is embedded without a name, and whether that is what
// upstream's source has.
func (j *judge) streams() {
	equal := 0
	for _, name := range slices.Sorted(maps.Keys(j.k.Source.Assets)) {
		if j.a.assets[name] && j.b.assets[name] {
			equal++
			continue
		}
		j.say("asset "+name, is(j.a.assets[name]), is(j.b.assets[name]), Unexplained)
	}
	j.counted(equal, "assets of upstream's source, byte for byte")
	assets := map[[sha256.Size]byte]bool{}
	for _, content := range j.k.Source.Assets {
		assets[sha256.Sum256(content)] = true
	}
	equal = 0
	only := map[string][2]string{}
	for i, of := range []program{j.a, j.b} {
		other := [...]program{j.b, j.a}[i]
		for sum, size := range of.streams {
			if assets[sum] {
				continue
			}
			if _, both := other.streams[sum]; both {
				equal += i // once
				continue
			}
			shown := only[fmt.Sprintf("%x", sum[:6])]
			shown[i] = fmt.Sprintf("%d bytes unpacked", size)
			only[fmt.Sprintf("%x", sum[:6])] = shown
		}
	}
	for _, sum := range slices.Sorted(maps.Keys(only)) {
		j.say("gzip stream "+sum, only[sum][0], only[sum][1], Unexplained)
	}
	j.counted(equal, "gzip streams of no embedded file")
}

func is(there bool) string {
	if there {
		return "there"
	}
	return ""
}
