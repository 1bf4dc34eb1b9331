package licences

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Bounds of what is read of a package.
const (
	maxFiles = 400_000
	maxText  = 2 << 20 // bytes of a licence or notice file
	maxTexts = 4000
	maxAll   = 64 << 20 // bytes of all texts
	headSize = 4 << 10  // bytes of a source file that may hold a notice of copyright
)

// A walk calls visit for every regular file of a package, with its slash-
// separated path below the package's root. It can be walked again.
type walk func(visit func(name string, open func() (io.ReadCloser, error)) error) error

var (
	refersForm = regexp.MustCompile(`\b(AUTHORS|CONTRIBUTORS)\b`)
	readmeForm = regexp.MustCompile(`(?i)^readme(\.(md|markdown|txt|rst))?$`)
)

// collector gathers what the files of a package say.
type collector struct {
	found  Found
	people []Text // until it is known who refers to them
	readme string // of the root
	sizes  int    // of all texts, in bytes
	files  int
	names  map[string]bool // of texts and package.json
}

// collect reads a package. Two texts of one name are refused.
func collect(w walk) (Found, error) {
	c := collector{names: map[string]bool{}}
	if err := w(c.visit); err != nil {
		return Found{}, err
	}
	c.addPeople()
	c.addReadme()
	slices.SortFunc(c.found.Texts, func(a, b Text) int { return strings.Compare(a.Name, b.Name) })
	if err := c.readHeads(w); err != nil {
		return Found{}, err
	}
	return c.found, nil
}

func (c *collector) visit(name string, open func() (io.ReadCloser, error)) error {
	if c.files >= maxFiles {
		return fmt.Errorf("%w: more than %d files", ErrSource, maxFiles)
	}
	c.files++
	k := kindOf(name)
	if k == licence || k == notice || k == people || name == "package.json" {
		if c.names[name] {
			return fmt.Errorf("%w: file %s is there twice", ErrSource, name)
		}
		c.names[name] = true
	}
	switch {
	case name == "package.json":
		data, err := read(name, open, maxMetadata)
		if err != nil {
			return err
		}
		m, err := parseMetadata(data)
		c.found.Declared, c.found.Author, c.found.Homepage = m.licence, m.author, m.homepage
		return err
	case readmeForm.MatchString(name):
		// One that is too large for a text has no licence to tell.
		data, err := readHead(name, open, maxText)
		c.readme = readable(data)
		return err
	case k == other || k == source:
		return nil
	}
	data, err := read(name, open, maxText)
	if err != nil {
		return err
	}
	t := newText(name, readable(data), k)
	if c.sizes += len(data); c.sizes > maxAll || len(c.found.Texts) >= maxTexts {
		return fmt.Errorf("%w: more than %d licence files or %d bytes of them", ErrSource, maxTexts, maxAll)
	}
	if k == people {
		c.people = append(c.people, t)
	} else {
		c.found.Texts = append(c.found.Texts, t)
	}
	return nil
}

func newText(name, content string, k kind) Text {
	told := classify(content)
	t := Text{
		Name: name, Notice: k != licence, Told: told.told, Licences: told.ids,
		Copyright: copyrights(content, told.ids), Digest: digest(content), Content: content,
	}
	// COPYRIGHT is often a list of holders and no more.
	if len(told.ids) == 0 && strings.HasPrefix(strings.ToLower(path.Base(name)), "copyright") {
		t.Notice = true
	}
	t.Told = t.Told || t.Notice
	return t
}

// addPeople adds AUTHORS and CONTRIBUTORS where a licence of their folder
// refers to them.
func (c *collector) addPeople() {
	for _, p := range c.people {
		kind := strings.ToUpper(strings.TrimSuffix(path.Base(p.Name), path.Ext(p.Name)))
		if slices.ContainsFunc(c.found.Texts, func(t Text) bool {
			return folder(t.Name) == folder(p.Name) && slices.Contains(refersForm.FindAllString(t.Content, -1), kind)
		}) {
			c.found.Texts = append(c.found.Texts, p)
		}
	}
}

// addReadme takes the README's section on the licence for a text, where the
// root of an npm package holds none.
func (c *collector) addReadme() {
	if c.found.Declared == "" || slices.ContainsFunc(c.found.Texts, func(t Text) bool { return !t.Notice && folder(t.Name) == "" }) {
		return
	}
	if t := newText("(README, on the licence)", licenceSection(c.readme), licence); t.Told {
		c.found.Texts = append(c.found.Texts, t)
	}
}

var (
	headingForm   = regexp.MustCompile(`^#{1,6}\s|^[=\-]{3,}\s*$`)
	onLicenceForm = regexp.MustCompile(`(?i)^[#\s]*(the |mit |bsd |isc )?(\S+ )?licen[cs](e|es|ing)\b[^.]{0,40}$`)
)

// licenceSection is what stands below a heading about the licence, to the next
// heading.
func licenceSection(readme string) string {
	lines := strings.Split(readme, "\n")
	heading := func(i int) bool {
		return strings.HasPrefix(lines[i], "#") && headingForm.MatchString(lines[i]) ||
			i+1 < len(lines) && lines[i] != "" && headingForm.MatchString(lines[i+1]) && !strings.HasPrefix(lines[i+1], "#")
	}
	for i := range lines {
		if !heading(i) || !onLicenceForm.MatchString(lines[i]) {
			continue
		}
		end := i + 1
		for end < len(lines) && (end == i+1 || !heading(end)) {
			end++
		}
		return strings.Join(lines[i:end], "\n") + "\n"
	}
	return ""
}

// above is dir and the folders above it, "" the last.
func above(dir string) []string {
	all := []string{dir}
	for dir != "" {
		if dir = path.Dir(dir); dir == "." {
			dir = ""
		}
		all = append(all, dir)
	}
	return all
}

func read(name string, open func() (io.ReadCloser, error), limit int) ([]byte, error) {
	data, err := readHead(name, open, limit+1)
	if err == nil && len(data) > limit {
		err = fmt.Errorf("%w: %s is larger than %d bytes", ErrSource, name, limit)
	}
	return data, err
}

func readHead(name string, open func() (io.ReadCloser, error), limit int) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, fmt.Errorf("%w: opening %s: %w", ErrSource, name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrSource, name, err)
	}
	return data, nil
}
