package repro

import (
	"bytes"
	"cmp"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// A region is a stretch of an executable. Together the regions of a file
// hold each of its bytes, so that a difference lies in one of them.
type region struct {
	name     string
	off      int64
	size     int64
	identity bool // holds nothing but an identifier made from the rest
	gap      bool // between what the file's format calls a section
}

// maxRegions bounds the sections of an executable that are compared.
const maxRegions = 4096

// A regionDifference is a region that differs, and at which byte of either
// file; -1 where a file has no such region.
type regionDifference struct {
	a, b            region
	offset, offsetB int64
	why             string
}

func names(ds []regionDifference) string {
	var s []string
	for _, d := range ds {
		s = append(s, d.a.name)
	}
	return strings.Join(s, ", ")
}

// differingRegions pairs regions by name. Headers and gaps follow the
// sections they speak of, so they are named only where no section differs.
func differingRegions(a, b content, ra, rb []region) []regionDifference {
	inB := map[string]region{}
	for _, r := range rb {
		inB[r.name] = r
	}
	inA := map[string]bool{}
	var sections, gaps []regionDifference
	keep := func(d regionDifference) {
		if d.a.gap {
			gaps = append(gaps, d)
		} else {
			sections = append(sections, d)
		}
	}
	for _, r := range ra {
		inA[r.name] = true
		other, ok := inB[r.name]
		if !ok {
			keep(regionDifference{r, r, r.off, -1, "section only in the first build"})
			continue
		}
		at, err := firstDifference(a.part(r.off, r.size), b.part(other.off, other.size))
		if err == nil && at >= 0 {
			keep(regionDifference{r, other, r.off + at, other.off + at, sizes("section differs", r.size, other.size)})
		}
	}
	for _, r := range rb {
		if !inA[r.name] {
			keep(regionDifference{r, r, -1, r.off, "section only in the second build"})
		}
	}
	if len(sections) > 0 {
		return sections
	}
	return gaps
}

// regions reads the section table of an executable. The debug packages do not
// promise to withstand a hostile file, hence the recover.
func regions(a content, k kind) (rs []region, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading %s: %v", k, r)
		}
	}()
	switch k {
	case kindELF:
		rs, err = elfRegions(a)
	case kindMachO:
		rs, err = machoRegions(a)
	case kindPE:
		rs, err = peRegions(a)
	}
	if err != nil {
		return nil, err
	}
	if len(rs) > maxRegions {
		return nil, fmt.Errorf("more than %d sections", maxRegions)
	}
	return cover(rs, a.size), nil
}

func elfRegions(a content) ([]region, error) {
	f, err := elf.NewFile(a)
	if err != nil {
		return nil, err
	}
	var rs []region
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NULL || s.Type == elf.SHT_NOBITS {
			continue
		}
		id := s.Name == ".note.go.buildid" || s.Name == ".note.gnu.build-id"
		rs = append(rs, region{name: s.Name, off: int64(s.Offset), size: int64(s.FileSize), identity: id})
	}
	return rs, nil
}

// Load commands of Mach-O that debug/macho leaves as bytes.
const (
	lcUUID          = 0x1b
	lcCodeSignature = 0x1d
)

func machoRegions(a content) ([]region, error) {
	f, err := macho.NewFile(a)
	if err != nil {
		return nil, err
	}
	var rs []region
	for _, s := range f.Sections {
		if s.Offset == 0 || s.Flags&0xff == 1 { // S_ZEROFILL has no bytes
			continue
		}
		rs = append(rs, region{name: s.Seg + "," + s.Name, off: int64(s.Offset), size: int64(s.Size)})
	}
	if text := f.Section("__text"); text != nil {
		rs = carve(rs, goBuildIDRegion(a, int64(text.Offset)))
	}
	at := int64(28)
	if f.Magic == macho.Magic64 {
		at = 32
	}
	for _, l := range f.Loads {
		raw := l.Raw()
		if len(raw) >= 16 {
			switch f.ByteOrder.Uint32(raw) {
			case lcUUID:
				rs = append(rs, region{name: "LC_UUID", off: at, size: int64(len(raw)), identity: true})
			case lcCodeSignature:
				off, size := f.ByteOrder.Uint32(raw[8:]), f.ByteOrder.Uint32(raw[12:])
				rs = append(rs, region{name: signature, off: int64(off), size: int64(size), identity: true})
			}
		}
		at += int64(len(raw))
	}
	if s := f.Segment("__LINKEDIT"); s != nil {
		rs = append(rs, region{name: "__LINKEDIT", off: int64(s.Offset), size: int64(s.Filesz)})
	}
	return rs, nil
}

// Names of regions that are treated as no other.
const (
	peTimeStamp = "PE header time stamp"
	signature   = "code signature"
)

func peRegions(a content) ([]region, error) {
	f, err := pe.NewFile(a)
	if err != nil {
		return nil, err
	}
	var rs []region
	for _, s := range f.Sections {
		rs = append(rs, region{name: s.Name, off: int64(s.Offset), size: int64(s.Size)})
	}
	if text := f.Section(".text"); text != nil {
		rs = carve(rs, goBuildIDRegion(a, int64(text.Offset)))
	}
	// TimeDateStamp is the second field of the COFF header, whose offset is
	// at 0x3c, behind four bytes of signature.
	var at [4]byte
	if _, err := a.ReadAt(at[:], 0x3c); err == nil {
		off := int64(binary.LittleEndian.Uint32(at[:])) + 4 + 4
		rs = append(rs, region{name: peTimeStamp, off: off, size: 4})
	}
	return rs, nil
}

// Where a format has no note for it, Go's linker begins the code with this.
const (
	buildIDPrefix = "\xff Go build ID: \""
	buildIDSuffix = "\"\n \xff"
)

// goBuildIDRegion is where the Go build id is, at the start of the code.
func goBuildIDRegion(a content, text int64) region {
	head := a.part(text, 4096).head(4096)
	start := bytes.Index(head, []byte(buildIDPrefix))
	if start < 0 {
		return region{}
	}
	end := bytes.Index(head[start:], []byte(buildIDSuffix))
	if end < 0 {
		return region{}
	}
	return region{name: "Go build id", off: text + int64(start), size: int64(end + len(buildIDSuffix)), identity: true}
}

func carve(rs []region, r region) []region {
	if r.size == 0 {
		return rs
	}
	return append(rs, r)
}

// cover orders regions, makes their names unique and their bytes disjoint,
// and fills what lies between, so that nothing of the file is left out.
// Where two overlap the smaller one wins: an identifier inside the code.
func cover(rs []region, size int64) []region {
	for i := range rs {
		rs[i].off = min(max(rs[i].off, 0), size)
		rs[i].size = min(max(rs[i].size, 0), size-rs[i].off)
	}
	slices.SortStableFunc(rs, func(x, y region) int { return cmp.Compare(x.size, y.size) })
	var taken []region
	for _, r := range rs {
		taken = append(taken, cutOut(r, taken)...)
		slices.SortStableFunc(taken, func(x, y region) int { return cmp.Compare(x.off, y.off) })
	}
	var (
		all   []region
		at    int64
		count = map[string]int{}
		last  = ""
	)
	put := func(r region) {
		if count[r.name]++; count[r.name] > 1 {
			r.name = fmt.Sprintf("%s (part %d)", r.name, count[r.name])
		}
		all = append(all, r)
	}
	gap := func(to int64) {
		if to <= at {
			return
		}
		name := "file header"
		if last != "" {
			name = "after " + last
		}
		put(region{name: name, off: at, size: to - at, gap: true})
	}
	for _, r := range taken {
		gap(r.off)
		put(r)
		at, last = r.off+r.size, r.name
	}
	gap(size)
	return all
}

// cutOut is r without the regions in taken, which are disjoint and in order.
func cutOut(r region, taken []region) []region {
	var left []region
	at, end := r.off, r.off+r.size
	for _, t := range taken {
		if t.off+t.size <= at || t.off >= end || t.size == 0 {
			continue
		}
		if t.off > at {
			left = append(left, region{r.name, at, t.off - at, r.identity, r.gap})
		}
		at = t.off + t.size
	}
	if at < end {
		left = append(left, region{r.name, at, end - at, r.identity, r.gap})
	}
	return left
}
