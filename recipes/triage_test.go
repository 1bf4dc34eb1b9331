package recipes

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const triage = `# What somebody found who looked.
- id: GO-2026-9002
  module: stdlib
  variants: [vanilla, hardened]
  status: affected
  statement: Build with Go 1.26.9.
  until: 2026-12-31
- id: GO-2026-9001
  module: golang.org/x/net
  variants: [hardened]
  status: not_affected
  justification: inline_mitigations_already_exist
  statement: >
    The limit of headers
    that a patch sets.
  until: "2027-01-31"
- id: GO-2026-9001
  module: golang.org/x/net
  variants: [vanilla]
  status: affected
  statement: Use the hardened variant.
  until: 2027-01-31
`

func TestParseTriage(t *testing.T) {
	got, err := ParseTriage("bell/triage.yaml", []byte(triage))
	if err != nil {
		t.Fatal(err)
	}
	want := Triage{
		{ID: "GO-2026-9001", Module: "golang.org/x/net", Variants: []string{"hardened"}, Status: "not_affected", Justification: "inline_mitigations_already_exist", Statement: "The limit of headers that a patch sets.", Until: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), Line: 8},
		{ID: "GO-2026-9001", Module: "golang.org/x/net", Variants: []string{"vanilla"}, Status: "affected", Statement: "Use the hardened variant.", Until: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), Line: 17},
		{ID: "GO-2026-9002", Module: "stdlib", Variants: []string{"hardened", "vanilla"}, Status: "affected", Statement: "Build with Go 1.26.9.", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Line: 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	for variant, want := range map[string]Triage{"hardened": {want[0], want[2]}, "vanilla": {want[1], want[2]}, "fips": nil, "": nil} {
		if got := got.Of(variant); !reflect.DeepEqual(got, want) {
			t.Errorf("of %q: %+v", variant, got)
		}
	}
}

func TestParseTriageRefuses(t *testing.T) {
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown field", "status: affected", "severity: low\n  status: affected", `line 2: the field "severity" is not known`},
		{"field twice", "status: affected", "status: affected\n  status: fixed", "line"},
		{"no id", "id: GO-2026-9002\n  module", "module", `line 2: id ""`},
		{"id of another database", "GO-2026-9002", "CVE-2026-9002", `line 2: id "CVE-2026-9002" is none of the Go vulnerability database`},
		{"id that is a path", "GO-2026-9002", "../GO-2026-9002", "line 2: id"},
		{"no module", "module: stdlib", "module: ''", "line 2: module is empty"},
		{"module that is none", "module: stdlib", "module: std lib", "line 2: module"},
		{"unknown status", "status: affected", "status: fine", `line 2: status "fine" is not one of`},
		{"null", "status: affected", "status: null", "line 2: status is empty"},
		{"no justification", "  justification: inline_mitigations_already_exist\n", "", "line 8: not_affected needs a justification"},
		{"unknown justification", "inline_mitigations_already_exist", "because", `line 8: not_affected needs a justification, and "because"`},
		{"justification of what affects", "status: affected", "status: affected\n  justification: component_not_present", "line 2: a justification is of not_affected alone"},
		{"no statement", "  statement: Build with Go 1.26.9.\n", "", "line 2: statement is missing"},
		{"statement of two lines", "Build with Go 1.26.9.", "\"Build\\nwith\"", "line 2: statement is not one printable line"},
		{"long statement", "Build with", strings.Repeat("x", 1001), "line 2: statement is not"},
		{"no end", "  until: 2026-12-31\n", "", `line 2: until is ""`},
		{"end that is no day", "2026-12-31", "never", `line 2: until is "never"`},
		{"end on no day", "2026-12-31", "2026-12-32", "line 2: until"},
		{"answered twice", "GO-2026-9001\n  module: golang.org/x/net", "GO-2026-9002\n  module: stdlib", "line 8: GO-2026-9002 in stdlib is answered twice of hardened"},
		{"answered twice of one variant", "  variants: [vanilla]\n", "  variants: [vanilla, hardened]\n", "line 17: GO-2026-9001 in golang.org/x/net is answered twice of hardened"},
		{"no variants", "  variants: [vanilla, hardened]\n", "", "line 2: variants is missing"},
		{"empty variants", "[vanilla, hardened]", "[]", "line 2: variants is no list, or empty"},
		{"variants that are null", "[vanilla, hardened]", "", "line 2: variants is no list, or empty"},
		{"variants that are text", "[vanilla, hardened]", "hardened", "line 2: variants is no list, or empty"},
		{"a variant that there is not", "[vanilla, hardened]", "[fips]", `line 2: variants names "fips"`},
		{"a variant besides that there is not", "[vanilla, hardened]", "[hardened, fips]", `line 2: variants names "fips"`},
		{"an empty variant", "[vanilla, hardened]", "[hardened, '']", `line 2: variants names ""`},
		{"all variants", "[vanilla, hardened]", "['*']", `line 2: variants names "*"`},
		{"a variant twice", "[vanilla, hardened]", "[hardened, hardened]", `line 2: variants names "hardened", which is there twice`},
		{"a variant that is a list", "[vanilla, hardened]", "[[hardened]]", `line 2: variants names ""`},
		{"variants twice", "[vanilla, hardened]", "[vanilla]\n  variants: [hardened]", "variants"},
		{"no list", "- id: GO-2026-9002", "id: GO-2026-9002", "invalid"},
		{"a word", "- id: GO-2026-9002", "- x\n- id: GO-2026-9002", "line 2: an answer is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(triage, tt.old, tt.new, 1)
			if text == triage {
				t.Fatal("the edit changes nothing")
			}
			_, err := ParseTriage("bell/triage.yaml", []byte(text))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bell/triage.yaml") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	for _, text := range []string{"", "[]", "null", "- {}", "---\n[]\n---\n[]\n", "[" + strings.Repeat("{},", 1001) + "]"} {
		if got, err := ParseTriage("triage.yaml", []byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.20q is read as %+v, %v", text, got, err)
		}
	}
}

// A triage decides nothing of what is built: it may come, go, and be malformed
// without changing what the recipe is called by, or whether it loads.
func TestTriageAndRecipe(t *testing.T) {
	fsys := good(t)
	before, _, err := load(fsys, "bell")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := LoadTriage(fsys, "bell"); err != nil || len(got) != 0 {
		t.Errorf("without a triage: %+v, %v", got, err)
	}
	for _, text := range []string{triage, "malformed"} {
		fsys["bell/"+TriageName] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		if after, _, err := load(fsys, "bell"); err != nil || after.Digest != before.Digest {
			t.Errorf("with %.20q: %v", text, err)
		}
	}
	if _, err := LoadTriage(fsys, "bell"); !errors.Is(err, ErrInvalid) {
		t.Errorf("malformed: %v", err)
	}
	fsys["bell/"+TriageName].Data = []byte(triage)
	if got, err := LoadTriage(fsys, "bell"); err != nil || len(got) != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, name := range []string{"", "..", "bell/x", "/bell"} {
		if _, err := LoadTriage(fsys, name); !errors.Is(err, ErrInvalid) {
			t.Errorf("of %q: %v", name, err)
		}
	}
	// Nothing carries it.
	edit(t, fsys, "bell/recipe.yaml", "own: bell.service", "own: "+TriageName)
	if _, _, err := load(fsys, "bell"); !errors.Is(err, ErrInvalid) {
		t.Errorf("an archive carries the triage: %v", err)
	}
}

// What is read is an answer that says all that it has to.
func FuzzParseTriage(f *testing.F) {
	f.Add([]byte(triage))
	f.Add([]byte("- {id: GO-2026-9001, module: stdlib, variants: [hardened], status: fixed, statement: x, until: 2027-01-31}"))
	f.Add([]byte("- &a {id: GO-2026-9001}\n- *a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseTriage("triage.yaml", data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			return
		}
		for _, a := range got {
			if err := a.validate(); err != nil || a.Until.IsZero() || a.Line == 0 || len(a.Variants) == 0 {
				t.Errorf("%+v: %v", a, err)
			}
		}
	})
}
