package licences

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"palisade/recipes"
)

var update = flag.Bool("update", false, "write golden files anew")

// of is what a package with these texts says, sorted by name.
func of(texts ...Text) Found { return Found{Texts: texts}.judged() }

func with(f Found, declared string) Found {
	f.Declared, f.Author = declared, "Person: Ada Bell (ada@example.org)"
	return f
}

func TestConclude(t *testing.T) {
	mit := newText("LICENSE", standardText(t, "MIT"), licence)
	gpl := newText("COPYING", "GPL", licence)
	gpl.Licences, gpl.Told = []string{"GPL-2.0-only"}, true
	odd := newText("LICENSE", "Ring it on Sundays.\n", licence)
	notice := newText("NOTICE", "Bell\n", notice)
	const pkg = "pkg:npm/%40ada/bell@1.0.0"
	state := func(is string, text ...string) []recipes.Licence {
		return []recipes.Licence{{Of: "pkg:npm/other@1.0.0"}, {Of: pkg, Is: is, Why: "It says so.", Text: text}}
	}
	for _, tt := range []struct {
		name   string
		found  Found
		states []recipes.Licence
		want   string // expression and texts
		err    error
		says   string
	}{
		{name: "told", found: of(mit, notice), want: "MIT: LICENSE, NOTICE"},
		{name: "told, and package.json agrees", found: with(of(mit), "mit"), want: "MIT: LICENSE"},
		{name: "two", found: of(gpl, mit), want: "GPL-2.0-only AND MIT: COPYING, LICENSE"},
		{name: "the publisher lets choose", found: with(of(gpl, mit), "(MIT OR GPL-2.0)"), want: "MIT OR GPL-2.0-only: COPYING, LICENSE"},
		{name: "the publisher says what the texts do not", found: with(of(mit), "(MIT OR GPL-2.0)"), err: ErrUnknown, says: "package.json says MIT OR GPL-2.0-only, but its texts are MIT (LICENSE)"},
		{name: "the publisher contradicts", found: with(of(mit), "ISC"), err: ErrUnknown, says: "package.json says ISC, but its texts are MIT (LICENSE)"},
		{name: "the publisher says nothing of use", found: with(of(mit), "SEE LICENSE IN LICENSE"), err: ErrUnknown, says: `"SEE LICENSE IN LICENSE" is not an SPDX`},
		{name: "declared alone", found: with(Found{}, "MIT"), want: "MIT: (standard text of MIT, which package.json declares; author: Ada Bell (ada@example.org))"},
		{name: "declared alone, beside a notice", found: with(of(notice), "MIT"), want: "MIT: NOTICE, (standard text of MIT, which package.json declares; author: Ada Bell (ada@example.org))"},
		{name: "declared alone, without a text of ours", found: with(Found{}, "MIT AND GPL-2.0-only"), err: ErrUnknown, says: "holds no text of it"},
		{name: "declared beside what cannot be told", found: with(of(odd), "MIT"), err: ErrUnknown, says: "in LICENSE"},
		{name: "untold", found: of(mit, newText("LICENSE.odd", odd.Content, licence)), err: ErrUnknown, says: "in LICENSE.odd; state it in recipes/bell/recipe.yaml under licences"},
		{name: "no text", found: of(notice), err: ErrUnknown, says: "it holds no licence file"},
		{name: "nothing at all", err: ErrUnknown, says: "it holds no licence file"},

		{name: "stated", found: of(odd, notice), states: state("MIT", "LICENSE"), want: "MIT: LICENSE, NOTICE (It says so.)"},
		{name: "stated over a contradiction", found: with(of(mit), "ISC"), states: state("mit", "LICENSE"), want: "MIT: LICENSE (It says so.)"},
		{name: "a choice stated", found: of(gpl, mit), states: state("MIT OR GPL-2.0-only", "LICENSE"), want: "MIT OR GPL-2.0-only: COPYING, LICENSE (It says so.)"},
		{name: "a part stated", found: of(gpl, mit), states: state("MIT", "LICENSE"), want: "MIT: LICENSE (It says so.)"},
		{name: "stated without source", states: state("OFL-1.1", "licences/bell.txt"), want: "OFL-1.1: (bell.txt, as stated by bell's recipe) (It says so.)"},
		{name: "a licence of its own", states: state("LicenseRef-Bell", "licences/bell.txt"), want: "LicenseRef-Bell: (bell.txt, as stated by bell's recipe) (It says so.) Bell=Ring it.\n"},
		{name: "two of their own", states: state("LicenseRef-Bell AND LicenseRef-Rope", "licences/LicenseRef-Rope.txt", "licences/LicenseRef-Bell.txt"), want: "LicenseRef-Bell AND LicenseRef-Rope: (LicenseRef-Rope.txt, as stated by bell's recipe), (LicenseRef-Bell.txt, as stated by bell's recipe) (It says so.) Bell=Ring. Rope=Pull."},
		{name: "a licence of its own without text", states: state("LicenseRef-Bell AND MIT", "licences/bell.txt", "licences/LicenseRef-Rope.txt"), err: ErrStatement, says: "LicenseRef-Bell.txt"},
		{name: "stated though told", found: of(mit), states: state("MIT", "LICENSE"), err: ErrStatement, says: "recipes/bell/recipe.yaml need not state it"},
		{name: "stated though what is linked tells", found: of(mit, newText("cmd/x/LICENSE", odd.Content, licence)).For([]string{""}), states: state("MIT", "LICENSE"), want: "MIT: LICENSE (It says so.)"},
		{name: "stated though all tells, and what is linked", found: of(mit, newText("cmd/x/LICENSE", mit.Content, licence)).For([]string{""}), states: state("MIT", "LICENSE"), err: ErrStatement, says: "need not state it"},
		{name: "stated though declared", found: with(Found{}, "MIT"), states: state("MIT", "licences/bell.txt"), err: ErrStatement, says: "need not state it"},
		{name: "stated with a text that is not there", found: of(odd), states: state("MIT", "COPYING"), err: ErrStatement, says: "text COPYING is none of its licence files"},
		{name: "stated with a text of ours that is not there", states: state("MIT", "licences/rope.txt"), err: ErrStatement, says: "licences/rope.txt"},
		{name: "stated as nothing", found: of(odd), states: state("as you like", "LICENSE"), err: ErrStatement, says: `"as you like" is not an SPDX`},
	} {
		r := &recipes.Recipe{Name: "bell", Licences: tt.states, Dir: fstest.MapFS{
			"licences/bell.txt":            {Data: []byte("Ring it.\r\n")},
			"licences/LicenseRef-Bell.txt": {Data: []byte("Ring.")},
			"licences/LicenseRef-Rope.txt": {Data: []byte("Pull.")},
		}}
		verdicts, err := Conclude(r, []Subject{{PURL: pkg + "?os=linux", Found: tt.found}})
		if tt.err != nil {
			if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), pkg) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		v := verdicts[0]
		var names []string
		for _, text := range v.Texts {
			names = append(names, text.Name)
		}
		got := v.Expression + ": " + strings.Join(names, ", ")
		if v.Stated != "" {
			got += " (" + v.Stated + ")"
		}
		for _, e := range v.Extracted {
			got += " " + e.Name + "=" + strings.TrimSuffix(e.Text, "\n")
		}
		if got != strings.TrimSuffix(tt.want, "\n") || v.Name != "@ada/bell" || v.Version != "1.0.0" {
			t.Errorf("%s: %s %s\ngot  %s\nwant %s", tt.name, v.Name, v.Version, got, tt.want)
		}
	}
}

func TestConcludeOrder(t *testing.T) {
	f := of(newText("LICENSE", standardText(t, "MIT"), licence))
	r := &recipes.Recipe{Name: "bell"}
	verdicts, err := Conclude(r, []Subject{{"pkg:golang/b@v1", f}, {"pkg:golang/a@v1", f}})
	if err != nil || verdicts[0].PURL != "pkg:golang/a@v1" || verdicts[1].PURL != "pkg:golang/b@v1" {
		t.Errorf("%v, %v", verdicts, err)
	}
	for _, subjects := range [][]Subject{{{"pkg:golang/a@v1", f}, {"pkg:golang/a@v1", f}}, {{"a@v1", f}}} {
		if _, err := Conclude(r, subjects); err == nil {
			t.Errorf("%v is taken", subjects)
		}
	}
}

func TestWriteTexts(t *testing.T) {
	text := func(name, content string, k kind) Text { return newText(name, readable([]byte(content)), k) }
	verdicts := []Verdict{
		{PURL: "pkg:golang/example.org/rope@v2.0.0", Name: "example.org/rope", Version: "v2.0.0", Expression: "MIT", Texts: []Text{text("LICENSE", "Pull it.\n", licence)}},
		{
			PURL: "pkg:golang/example.org/bell@v1.0.0", Name: "example.org/bell", Version: "v1.0.0", Expression: "Apache-2.0 AND MIT", Copyright: []string{"Copyright 2019 Ada Bell", "© 2020 Carl Drum"},
			Texts: []Text{text("LICENSE", "Ring it.\r\n", licence), text("NOTICE", "\x1b[1mBell\x1b[0m by Bj\xf6rn", notice), text("internal/rope/LICENSE", "Pull it.", licence)},
		},
		{PURL: "pkg:npm/drum@1.0.0", Name: "drum", Version: "1.0.0", Expression: "OFL-1.1", Stated: "Its maker\n  says so.", Texts: []Text{text("(standard text of X)", "Beat it.\n", licence)}},
	}
	var got, again bytes.Buffer
	if err := WriteTexts(&got, "bell 1.0.0 for linux/amd64", verdicts); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(verdicts)
	if err := WriteTexts(&again, "bell 1.0.0 for linux/amd64", verdicts); err != nil || again.String() != got.String() {
		t.Error("the order of the verdicts shows")
	}
	const golden = "testdata/third_party_licenses.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got.String() != string(want) {
		t.Errorf("differs from %s (-update writes it): %v\n%s", golden, err, got.String())
	}
	if err := WriteTexts(full{}, "bell", verdicts); !errors.Is(err, errFull) {
		t.Errorf("a full disk: %v", err)
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
