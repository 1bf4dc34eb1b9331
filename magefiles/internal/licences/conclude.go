package licences

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/package-url/packageurl-go"

	"palisade/recipes"
)

// Conclude passes judgement on every package, in order of PURL, and applies
// what the recipe states. A package that is there twice, one whose licence is
// neither told nor stated (ErrUnknown), and a statement that tells what is
// told anyway, or names texts that are not there (ErrStatement), are errors. A
// statement of a package that is not among the subjects is none: what is
// linked differs from platform to platform.
func Conclude(recipe *recipes.Recipe, subjects []Subject) ([]Verdict, error) {
	subjects = slices.Clone(subjects)
	slices.SortFunc(subjects, func(a, b Subject) int { return strings.Compare(a.PURL, b.PURL) })
	verdicts := make([]Verdict, len(subjects))
	for i, s := range subjects {
		if i > 0 && subjects[i-1].PURL == s.PURL {
			return nil, fmt.Errorf("concluding the licence of %s: it is there twice", s.PURL)
		}
		v, err := conclude(recipe, s)
		if err != nil {
			return nil, fmt.Errorf("concluding the licence of %s for %s: %w", s.PURL, recipe.Name, err)
		}
		verdicts[i] = v
	}
	return verdicts, nil
}

func conclude(recipe *recipes.Recipe, s Subject) (Verdict, error) {
	p, err := packageurl.FromString(s.PURL)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{PURL: s.PURL, Name: path.Join(p.Namespace, p.Name), Version: p.Version, Texts: s.Found.Texts, Copyright: s.Found.Copyright, Found: s.Found}
	told, extra, why := s.Found.tell()
	bare, _, _ := strings.Cut(s.PURL, "?")
	bare, _, _ = strings.Cut(bare, "#")
	i := slices.IndexFunc(recipe.Licences, func(l recipes.Licence) bool { return l.Of == bare })
	if i < 0 {
		if why != "" {
			return Verdict{}, fmt.Errorf("%w: %s; state it in recipes/%s/recipe.yaml under licences, with the reason and the text", ErrUnknown, why, recipe.Name)
		}
		v.Expression = told
		v.Texts = append(slices.Clone(v.Texts), extra...)
		return v, nil
	}
	l := recipe.Licences[i]
	if v.Expression, err = canonical(l.Is); err != nil {
		return Verdict{}, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if told == v.Expression && (!s.Found.partial || s.Found.whole == told) {
		return Verdict{}, fmt.Errorf("%w: its own files tell %s, so that recipes/%s/recipe.yaml need not state it: remove the statement", ErrStatement, told, recipe.Name)
	}
	v.Stated = l.Why
	stated, err := statedTexts(recipe, l, s.Found)
	if err != nil {
		return Verdict{}, err
	}
	f := s.Found
	f.Texts = kept(f.Texts, stated, parts(v.Expression))
	v.Texts, v.Copyright = f.Texts, f.judged().Copyright
	v.Extracted, err = extracted(v, stated)
	return v, err
}

// kept is the texts to pass on under a statement: those that it names, the
// notices, and the licences that agree with it. What else was found is not of
// what is linked: that is what the statement says.
func kept(found, stated []Text, ids []string) []Text {
	var all []Text
	for _, t := range found {
		agrees := t.Told && !slices.ContainsFunc(t.Licences, func(id string) bool { return !slices.Contains(ids, id) })
		if t.Notice || agrees || named(stated, t.Name) {
			all = append(all, t)
		}
	}
	for _, t := range stated {
		if !named(all, t.Name) {
			all = append(all, t)
		}
	}
	return all
}

func named(texts []Text, name string) bool {
	return slices.ContainsFunc(texts, func(t Text) bool { return t.Name == name })
}

// tell is what the package itself says, with the standard texts that it takes
// to say so; or why that is not enough.
func (f Found) tell() (expression string, extra []Text, why string) {
	if len(f.Unknown) > 0 {
		return "", nil, "no licence can be told, or not all of what is said, in " + strings.Join(f.Unknown, ", ")
	}
	if f.Declared == "" {
		if f.Expression == "" {
			return "", nil, "it holds no licence file"
		}
		return f.Expression, nil, ""
	}
	said, err := canonical(f.Declared)
	if err != nil {
		return "", nil, "package.json: " + err.Error()
	}
	if f.Expression != "" {
		// The publisher may say OR where the texts alone cannot.
		if slices.Equal(parts(said), parts(f.Expression)) {
			return Combine([]string{said}), nil, ""
		}
		return "", nil, fmt.Sprintf("package.json says %s, but its texts are %s (%s)", said, f.Expression, strings.Join(f.names(), ", "))
	}
	for _, id := range parts(said) {
		data, err := standard.ReadFile("standard/" + id + ".txt")
		if err != nil {
			return "", nil, fmt.Sprintf("package.json says %s, but it holds no text of it", said)
		}
		name := "(standard text of " + id + ", which package.json declares"
		if f.Author != "" {
			name += "; author: " + f.Author[strings.Index(f.Author, ": ")+2:]
		}
		extra = append(extra, newText(name+")", readable(data), licence))
	}
	return Combine([]string{said}), extra, ""
}

func (f Found) names() []string {
	var all []string
	for _, t := range f.Texts {
		if len(t.Licences) > 0 {
			all = append(all, t.Name)
		}
	}
	return all
}

//go:embed standard
var standard embed.FS

// statedTexts is the files that a statement names.
func statedTexts(recipe *recipes.Recipe, l recipes.Licence, f Found) ([]Text, error) {
	var all []Text
	for _, name := range l.Text {
		if own, ok := strings.CutPrefix(name, recipes.LicenceDir); ok {
			data, err := fs.ReadFile(recipe.Dir, name)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrStatement, err)
			}
			all = append(all, newText("("+own+", as stated by "+recipe.Name+"'s recipe)", readable(data), licence))
			continue
		}
		i := slices.IndexFunc(f.Texts, func(t Text) bool { return t.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: text %s is none of its licence files; put a copy into recipes/%s/%s and name that", ErrStatement, name, recipe.Name, recipes.LicenceDir)
		}
		all = append(all, f.Texts[i])
	}
	return all, nil
}

// extracted finds the text of every LicenseRef- of an expression: the stated
// file that is called so, or the only one that is stated.
func extracted(v Verdict, stated []Text) ([]Extracted, error) {
	var all []Extracted
	for _, id := range parts(v.Expression) {
		name, ok := strings.CutPrefix(id, "LicenseRef-")
		if !ok {
			continue
		}
		i := slices.IndexFunc(stated, func(t Text) bool { return strings.Contains(t.Name, id+".") })
		if i < 0 && len(stated) == 1 {
			i = 0
		}
		if i < 0 {
			return nil, fmt.Errorf("%w: none of its texts is called %s.txt", ErrStatement, id)
		}
		all = append(all, Extracted{ID: id, Name: strings.ReplaceAll(name, "-", " "), Text: stated[i].Content})
	}
	return all, nil
}
