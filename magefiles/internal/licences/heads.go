package licences

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
)

// maxNotes bounds what the heads of a package's source files say, in lines.
const maxNotes = 200_000

const tagName = "SPDX-License-Identifier:"

// tagForm is a line of its own, behind a comment sign.
var tagForm = regexp.MustCompile(`(?m)^[\s/*#;%"'!<\-]*` + tagName + `[ \t]*([^\n]{1,120}?)[ \t]*(?:\*/|-->)?$`)

// over is what the texts that speak for a folder say.
type over struct {
	named bool     // whether one names a holder of copyright
	ids   []string // licences
}

func (c *collector) over(dir string) over {
	var o over
	folders := above(dir)
	for _, t := range c.found.Texts {
		if slices.Contains(folders, folder(t.Name)) {
			o.named = o.named || len(t.Copyright) > 0
			o.ids = append(o.ids, t.Licences...)
		}
	}
	return o
}

// readHeads reads the beginnings of source files, for what the texts above
// them do not say.
func (c *collector) readHeads(w walk) error {
	known := map[string]over{}
	lines := map[string]map[string]bool{}
	tags := map[string]map[string]string{} // folder, what a tag says, file
	count := 0
	err := w(func(name string, open func() (io.ReadCloser, error)) error {
		if kindOf(name) != source || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir := path.Dir(name)
		if dir == "." {
			dir = ""
		}
		o, ok := known[dir]
		if !ok {
			o = c.over(dir)
			known[dir] = o
			lines[dir], tags[dir] = map[string]bool{}, map[string]string{}
		}
		data, err := readHead(name, open, headSize)
		if err != nil {
			return err
		}
		// Most files say neither, and most of what is read is files.
		tagged := bytes.Contains(data, []byte(tagName))
		if !tagged && (o.named || !mentioned(string(data))) {
			return nil
		}
		head := readable(whole(data))
		if !o.named {
			for _, l := range copyrights(head, nil) {
				lines[dir][l] = true
				count++
			}
		}
		if !tagged {
			return nil
		}
		for _, m := range tagForm.FindAllStringSubmatch(head, -1) {
			if file, ok := tags[dir][m[1]]; (!ok || name < file) && !satisfied(m[1], o.ids) {
				tags[dir][m[1]] = name
				count++
			}
		}
		if count > maxNotes {
			return fmt.Errorf("%w: its source files say more than %d lines of copyright and licence", ErrSource, maxNotes)
		}
		return nil
	})
	for _, dir := range slices.Sorted(maps.Keys(known)) {
		h := Head{Dir: dir, Copyright: slices.Sorted(maps.Keys(lines[dir]))}
		for _, says := range slices.Sorted(maps.Keys(tags[dir])) {
			h.Tags = append(h.Tags, Tag{Says: says, File: tags[dir][says]})
		}
		if len(h.Copyright)+len(h.Tags) > 0 {
			c.found.Heads = append(c.found.Heads, h)
		}
	}
	return err
}

// satisfied reports whether licences are all that a tag asks for: one of those
// that it lets choose from.
func satisfied(says string, ids []string) bool {
	e, err := canonical(says)
	if err != nil || len(ids) == 0 {
		return false
	}
	ok, err := spdxexp.Satisfies(e, ids)
	return ok && err == nil
}

// whole is the lines of the beginning of a file that are whole: where it is cut
// may be in the middle of one, and of a character.
func whole(data []byte) []byte {
	if len(data) < headSize {
		return data
	}
	return data[:strings.LastIndexByte(string(data), '\n')+1]
}
