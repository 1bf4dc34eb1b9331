package vuln

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/vex"
	"palisade/recipes"
)

// answers to all that is reachable in the variant hardened.
const answers = `- id: GO-2026-9001
  module: example.org/lamp
  variants: [hardened]
  status: not_affected
  justification: vulnerable_code_cannot_be_controlled_by_adversary
  statement: Its colour is a constant.
  until: 2026-11-22
- {id: GO-2026-9004, module: example.org/beacon, variants: [hardened], status: fixed, statement: By the patch 0001-green.patch., until: 2027-01-31}
- {id: GO-2026-9005, module: example.org/lamp, variants: [hardened], status: fixed, statement: By the patch 0001-lamp.patch., until: 2027-01-31}
- {id: GO-2026-9009, module: stdlib, variants: [hardened], status: fixed, statement: Nobody reads it., until: 2027-01-31}
`

func verdicts(a Archive) (all []string) {
	for i, f := range a.Findings {
		v := a.Verdicts[i]
		all = append(all, strings.Join([]string{f.ID, string(v.Status), v.Justification, v.Note}, "|"))
	}
	return all
}

func TestDescribe(t *testing.T) {
	dir, snapshot := release(t, hardened), filepath.Join(t.TempDir(), "snapshot")
	r, _ := record(t, hardened)
	document := r.Name + ".vex.json"
	before := files(t, dir)

	o := options(t, "")
	report, err := Describe(t.Context(), o, dir, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := verdicts(report.Archives[0]), []string{
		"GO-2026-9001|affected||raise example.org/lamp to v0.9.0 or a later version",
		"GO-2026-9002|not_affected|vulnerable_code_not_present|of the package that has the vulnerability the linker kept no function that has it",
		"GO-2026-9003|not_affected|vulnerable_code_not_present|the module is linked, and no package of it that has the vulnerability",
		"GO-2026-9004|affected||raise example.org/beacon to v1.2.1 or a later version",
		"GO-2026-9005|affected||raise example.org/lamp to v0.4.1 or a later version",
		"GO-2026-9009|affected||no version of stdlib without it is known yet",
	}; !slices.Equal(got, want) || report.Open() != 4 {
		t.Errorf("%d open: got\n%s\nwant\n%s", report.Open(), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	first := files(t, dir)
	if len(first) != len(before)+1 || first[document] == "" {
		t.Fatalf("there are %q", slices.Sorted(maps.Keys(first)))
	}
	if left, err := os.ReadDir(o.Scratch); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}

	// Signed, it stays as long as nothing else is to be said.
	bundle := filepath.Join(dir, r.Name+".vex.sigstore.json")
	put(t, bundle, "{}")
	if _, err := Describe(t.Context(), o, dir, snapshot); err != nil || files(t, dir)[r.Name+".vex.sigstore.json"] != "{}" {
		t.Errorf("the same again: %v", err)
	}
	answered := options(t, answers)
	if report, err = Describe(t.Context(), answered, dir, snapshot); err != nil || report.Open() != 0 {
		t.Fatalf("%d open, %v", report.Open(), err)
	}
	if got := verdicts(report.Archives[0]); !slices.Contains(got, "GO-2026-9001|not_affected|vulnerable_code_cannot_be_controlled_by_adversary|Its colour is a constant.") ||
		!slices.Contains(got, "GO-2026-9004|fixed||By the patch 0001-green.patch.") {
		t.Errorf("got %q", got)
	}
	second := files(t, dir)
	if _, stays := second[filepath.Base(bundle)]; stays || second[document] == first[document] {
		t.Error("the bundle of another document stays, or nothing changed")
	}

	// Elsewhere, by the same snapshot, it says the same to the byte.
	other := release(t, hardened)
	if _, err := Describe(t.Context(), options(t, answers), other, snapshot); err != nil || files(t, other)[document] != second[document] {
		t.Errorf("another machine: %v", err)
	}
	s, err := intoto.Parse([]byte(second[document]))
	if err != nil {
		t.Fatal(err)
	}
	d, err := vex.Parse(s)
	if err == nil {
		err = d.Check(r, "palisade")
	}
	if err != nil || len(d.Verdicts) != 6 || d.Data.Digest != report.Database.Digest || len(d.Open()) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if data, err := json.Marshal(report); err != nil || !strings.Contains(string(data), `"symbols":["example.org/lamp.Lamp.Light"]`) {
		t.Errorf("%s, %v", data, err)
	}
}

// A release of which nothing is known has a document that says so.
func TestDescribeNothing(t *testing.T) {
	dir := release(t, vanilla)
	o := options(t, "")
	put(t, filepath.Join(o.Source, "index/modules.json"), `[{"path":"example.org/elsewhere","vulns":[]}]`)
	report, err := Describe(t.Context(), o, dir, filepath.Join(t.TempDir(), "snapshot"))
	r, _ := record(t, vanilla)
	if err != nil || len(report.Archives[0].Findings) != 0 || !strings.Contains(files(t, dir)[r.Name+".vex.json"], `"statements": []`) {
		t.Errorf("%+v, %v", report, err)
	}
}

// Who signs looks again, and signs nothing else than what he finds.
func TestConfirm(t *testing.T) {
	first, taken := release(t, hardened), filepath.Join(t.TempDir(), "snapshot")
	if _, err := Describe(t.Context(), options(t, answers), first, taken); err != nil {
		t.Fatal(err)
	}
	copied := func(t *testing.T, from string) string {
		t.Helper()
		dir := t.TempDir()
		for name, text := range files(t, from) {
			put(t, filepath.Join(dir, name), text)
		}
		return dir
	}
	r, _ := record(t, hardened)
	document := r.Name + ".vex.json"
	edit := func(name, old, new string) func(*testing.T, string, string, *Options) {
		return func(t *testing.T, dir, snapshot string, _ *Options) {
			t.Helper()
			file := filepath.Join(map[bool]string{true: dir, false: snapshot}[name == document], name)
			data, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(data), old) {
				t.Fatalf("%s does not hold %q, %v", name, old, err)
			}
			put(t, file, strings.Replace(string(data), old, new, 1))
		}
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir, snapshot string, o *Options)
		want   error
	}{
		{"as it is", func(*testing.T, string, string, *Options) {}, nil},
		{"another verdict", edit(document, "Its colour is a constant.", "Its colour is  a constant"), ErrDiffers},
		{"no document", func(_ *testing.T, dir, _ string, _ *Options) { os.Remove(filepath.Join(dir, document)) }, ErrDiffers},
		{"a longer document", edit(document, "{", "{ "), ErrDiffers},
		{"another author", func(_ *testing.T, _, _ string, o *Options) { o.Author = "Somebody" }, ErrDiffers},
		{"another triage", func(t *testing.T, _, _ string, o *Options) {
			o.Triage = options(t, strings.Replace(answers, "Nobody reads it.", "Somebody does.", 1)).Triage
		}, ErrDiffers},
		{"no triage", func(t *testing.T, _, _ string, o *Options) { o.Triage = options(t, "").Triage }, ErrDiffers},
		{"an answer that was for a time", func(_ *testing.T, _, _ string, o *Options) { o.Now = now.AddDate(0, 0, 1) }, ErrExpired},
		{"an answer for too long", func(_ *testing.T, _, _ string, o *Options) { o.Now = now.AddDate(-1, 0, 0) }, ErrTooLong},
		{"an answer of another variant", func(t *testing.T, _, _ string, o *Options) {
			o.Triage = options(t, strings.Replace(answers, "[hardened]", "[vanilla]", 1)).Triage
		}, ErrDiffers},
		{"no snapshot", func(_ *testing.T, _, snapshot string, _ *Options) { os.RemoveAll(snapshot) }, ErrSnapshot},
		{"another archive", func(t *testing.T, dir, _ string, _ *Options) { put(t, filepath.Join(dir, r.Name), "x") }, ErrArchive},
		{"an entry that was changed", edit("ID/GO-2026-9001.json", `"details":"x"`, `"details":"y"`), ErrDiffers},
		{"an entry of another id", edit("ID/GO-2026-9001.json", `"GO-2026-9001"`, `"GO-2026-9009"`), ErrDatabase},
		{"a module that was not asked for", edit("index/asked.json", `"example.org/lamp",`, ``), ErrSnapshot},
		{"a file beside", func(t *testing.T, _, snapshot string, _ *Options) { put(t, filepath.Join(snapshot, "ID/x"), "x") }, ErrSnapshot},
		{"a folder beside", func(t *testing.T, _, snapshot string, _ *Options) { put(t, filepath.Join(snapshot, "ID/x/y"), "x") }, ErrSnapshot},
		{"a link", func(t *testing.T, _, snapshot string, _ *Options) {
			if err := os.Symlink("GO-2026-9001.json", filepath.Join(snapshot, "ID/GO-2026-9000.json")); err != nil {
				t.Fatal(err)
			}
		}, ErrSnapshot},
		{"an entry that is missing", func(_ *testing.T, _, snapshot string, _ *Options) {
			os.Remove(filepath.Join(snapshot, "ID/GO-2026-9003.json"))
		}, os.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, snapshot := copied(t, first), copied(t, taken)
			o := options(t, answers)
			o.Source = filepath.Join(t.TempDir(), "nowhere")
			tt.change(t, dir, snapshot, &o)
			before := files(t, dir)
			if _, err := Confirm(t.Context(), o, dir, snapshot); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !maps.Equal(before, files(t, dir)) {
				t.Error("it wrote something")
			}
		})
	}
}

func TestTriageRefused(t *testing.T) {
	for _, tt := range []struct {
		name, triage string
		want         error
		says         string
	}{
		{"to what is in no binary", strings.Replace(answers, "GO-2026-9001", "GO-2026-9002", 1), ErrUnneeded, "beacon/triage.yaml: line 1: GO-2026-9002 in example.org/lamp"},
		{"to what is not known", answers + "- {id: GO-2026-9010, module: stdlib, variants: [hardened], status: fixed, statement: x, until: 2027-01-31}\n", ErrUnneeded, "line 11: GO-2026-9010"},
		{"of another module", strings.Replace(answers, "module: stdlib", "module: example.org/lamp", 1), ErrUnneeded, "line 10: GO-2026-9009"},
		{"of yesterday", strings.Replace(answers, "until: 2026-11-22", "until: 2026-11-21", 1), ErrExpired, "line 1: GO-2026-9001 in example.org/lamp was answered until 2026-11-21"},
		{"for a year", strings.Replace(answers, "until: 2026-11-22", "until: 2027-11-22", 1), nil, ""},
		{"for a day more", strings.Replace(answers, "until: 2026-11-22", "until: 2027-11-23", 1), ErrTooLong, "recipes/beacon/triage.yaml: line 1: GO-2026-9001 in example.org/lamp is answered until 2027-11-23: an answer is for a year at most, today until 2027-11-22"},
		{"for a century", strings.Replace(answers, "GO-2026-9009, module: stdlib, variants: [hardened], status: fixed, statement: Nobody reads it., until: 2027", "GO-2026-9009, module: stdlib, variants: [hardened], status: fixed, statement: Nobody reads it., until: 2127", 1), ErrTooLong, "line 10: GO-2026-9009 in stdlib is answered until 2127-01-31"},
		{"of a variant that is not there", strings.Replace(answers, "[hardened]", "[vanilla]", 1), nil, ""},
		{"of another system", answers + "- {id: GO-2026-9007, module: example.org/lamp, variants: [hardened], status: fixed, statement: x, until: 2027-01-31}\n", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := release(t, hardened)
			before := files(t, dir)
			_, err := Describe(t.Context(), options(t, tt.triage), dir, filepath.Join(t.TempDir(), "snapshot"))
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v, %q", err, tt.want, tt.says)
			}
			if err != nil && !maps.Equal(before, files(t, dir)) {
				t.Error("it wrote something")
			}
		})
	}
	// Where some archives are left out, an answer may be to what they hold.
	o := options(t, strings.Replace(answers, "GO-2026-9001", "GO-2026-9002", 1))
	o.Only = func(r artifact.Record) bool { return r.Variant == "vanilla" }
	if report, err := Look(t.Context(), o, release(t, hardened, vanilla), filepath.Join(t.TempDir(), "snapshot")); err != nil || len(report.Archives) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	o.Only = func(artifact.Record) bool { return false }
	if _, err := Look(t.Context(), o, release(t, vanilla), filepath.Join(t.TempDir(), "snapshot")); err == nil {
		t.Error("nothing was looked at, and that is no error")
	}
	o.Triage = func(string) (recipes.Triage, error) { return nil, recipes.ErrInvalid }
	o.Only = nil
	if _, err := Look(t.Context(), o, release(t, vanilla), filepath.Join(t.TempDir(), "snapshot")); !errors.Is(err, recipes.ErrInvalid) {
		t.Errorf("a triage that cannot be read: %v", err)
	}
}

// A triage knows the words of OpenVEX, and no others.
func TestTriageWords(t *testing.T) {
	for _, j := range vex.Justifications {
		text := "- {id: GO-2026-9001, module: stdlib, variants: [hardened], status: not_affected, justification: " + j + ", statement: x, until: 2027-01-31}\n"
		if _, err := recipes.ParseTriage("triage.yaml", []byte(text)); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []vex.Status{vex.Affected, vex.Fixed, vex.UnderInvestigation} {
		text := "- {id: GO-2026-9001, module: stdlib, variants: [hardened], status: " + string(s) + ", statement: x, until: 2027-01-31}\n"
		if _, err := recipes.ParseTriage("triage.yaml", []byte(text)); err != nil {
			t.Error(err)
		}
	}
}

// A patch may be why one variant is not affected: its answer leaves the other open.
func TestTriageOfVariants(t *testing.T) {
	both := strings.ReplaceAll(answers, "[hardened]", "[hardened, vanilla]")
	other := answers + "- {id: GO-2026-9001, module: example.org/lamp, variants: [vanilla], status: under_investigation, statement: Somebody looks., until: 2027-01-31}\n"
	for _, tt := range []struct {
		name, triage      string
		hardened, vanilla int // left open
		says              string
	}{
		{"of one", answers, 0, 4, "GO-2026-9001|affected||raise example.org/lamp to v0.9.0 or a later version"},
		{"of both", both, 0, 0, "GO-2026-9001|not_affected|vulnerable_code_cannot_be_controlled_by_adversary|Its colour is a constant."},
		{"another of the other", other, 0, 4, "GO-2026-9001|under_investigation||Somebody looks."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, snapshot := release(t, hardened, vanilla), filepath.Join(t.TempDir(), "snapshot")
			report, err := Describe(t.Context(), options(t, tt.triage), dir, snapshot)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range report.Archives {
				want := map[string]int{"hardened": tt.hardened, "vanilla": tt.vanilla}[a.record.Variant]
				if got := (Report{Archives: []Archive{a}}).Open(); got != want {
					t.Errorf("%s: %d are left open, not %d: %q", a.Name, got, want, verdicts(a))
				}
				if a.record.Variant == "vanilla" && verdicts(a)[0] != tt.says {
					t.Errorf("of vanilla it says %s", verdicts(a)[0])
				}
			}
			if _, err := Confirm(t.Context(), options(t, tt.triage), dir, snapshot); err != nil {
				t.Error(err)
			}
			if tt.triage == both {
				return
			}
			// Who signs refuses what the answer was stretched to.
			if _, err := Describe(t.Context(), options(t, both), dir, snapshot); err != nil {
				t.Fatal(err)
			}
			if _, err := Confirm(t.Context(), options(t, tt.triage), dir, snapshot); !errors.Is(err, ErrDiffers) {
				t.Errorf("stretched: %v", err)
			}
		})
	}
	// Each variant that is named has to need it.
	hardenedAlone := Report{Archives: []Archive{{record: artifact.Record{Component: "beacon", Variant: "hardened"}}}}
	err := hardenedAlone.needed(map[string]recipes.Triage{"beacon": parsed(t, both)}, Database{}, true)
	if !errors.Is(err, ErrUnneeded) || !strings.Contains(err.Error(), "reachable in no hardened binary of beacon that was looked at: remove the answer, or hardened from its variants") {
		t.Errorf("got %v", err)
	}
	// Of one that is not in the release nobody knows.
	report, err := Look(t.Context(), options(t, both), release(t, vanilla), filepath.Join(t.TempDir(), "snapshot"))
	if err != nil || report.Open() != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func parsed(t *testing.T, triage string) recipes.Triage {
	t.Helper()
	all, err := recipes.ParseTriage("beacon/triage.yaml", []byte(triage))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
