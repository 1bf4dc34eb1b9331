package verify

import (
	"crypto"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A report shows what an attacker wrote on one line, without what a terminal
// would obey, and its JSON says the same.
func TestReport(t *testing.T) {
	key := newKey(t)
	w := newWorld(t, key, "hardened")
	dir := w.write(t)
	const evil = "a\x1b[2K\nPASS  release.json   1 index: \u202etrust me"
	put(t, dir, evil, nil)
	report, err := Release(t.Context(), dir, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{Files}, []error{ErrUnlisted})
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") || strings.Count(text.String(), "\n") != len(report.Lines)+1 {
		t.Errorf("the report is\n%q", text.String())
	}
	data, err := report.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	for i := range report.Lines {
		report.Lines[i].Number = 0 // by its name alone
	}
	if !slices.Equal(back.Lines, report.Lines) || back.Passed || back.Policy != "test" || back.Distribution != "palisade" || back.Release == "" {
		t.Errorf("read back:\n%+v\nwant\n%+v", back, report)
	}
}

func TestCheckNames(t *testing.T) {
	seen := map[string]bool{}
	for c := Index; c <= Fresh; c++ {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("check %d is called %q", c, c)
		}
		seen[c.String()] = true
	}
	if got := Check(0).String() + Check(99).String(); got != "check 0check 99" {
		t.Errorf("others are called %q", got)
	}
}

// What a refusal took the ground from is skipped, and shown so.
func TestSkip(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened").write(t)
	flip(hardened)(t, dir)
	report, _ := Release(t.Context(), dir, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	for _, l := range report.Lines {
		want := map[Check]Status{Index: Pass, Files: Pass, Digest: Fail}[l.Number]
		if want == "" {
			want = Skip
		}
		if l.Status != want {
			t.Errorf("%+v, want %s", l, want)
		}
	}
	if len(report.Lines) != 12 {
		t.Errorf("%d lines", len(report.Lines))
	}
}

// What a policy does not demand may be missing, and passes nothing.
func TestNotDemanded(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened").write(t)
	remove(bundleOf(hardened+spdxSuffix))(t, dir)
	p := testPolicy(t, "[spdx, provenance]", "[provenance]")
	report, err := Release(t.Context(), dir, p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	if err != nil || !report.Passed {
		t.Fatalf("refused: %v", err)
	}
	for _, l := range report.Lines {
		if skipped := l.Number == SPDX || l.Number == Contents; skipped != (l.Status == Skip) {
			t.Errorf("%+v", l)
		}
	}
	// The index has its digest, whoever attests it.
	replaceIn(hardened+spdxSuffix, "A light.", "A Light.")(t, dir)
	report, err = Release(t.Context(), dir, p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
	refused(t, report, err, []Check{SPDX}, []error{ErrDocument})
	remove(hardened+spdxSuffix)(t, dir)
	if report, err := File(t.Context(), filepath.Join(dir, hardened), p, Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now}); err != nil {
		t.Errorf("without it: %+v, %v", report, err)
	}
}

// A pipe would never end.
func TestPipe(t *testing.T) {
	key := newKey(t)
	dir := newWorld(t, key, "hardened").write(t)
	for _, name := range []string{indexName, hardened} {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		remove(name)(t, dir)
		if err := syscall.Mkfifo(file, 0o644); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := Release(t.Context(), dir, testPolicy(t), Trust{Keys: []crypto.PublicKey{key.Public()}, Now: now})
			ended <- err
		}()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), ErrNotFile.Error()) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s is waited for", name)
		}
		remove(name)(t, dir)
		put(t, dir, name, data)
	}
}
