package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// A raised is what became of raising a recipe.
type raised struct {
	Schema    string   `json:"schema"`
	Component string   `json:"component"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Series    []string `json:"series"` // that were copied: "greeting/v0.1.0 -> greeting/v0.2.0"
	Notes     []string `json:"notes"`  // what is left for a person to see to
	Patches   []tried  `json:"patches"`
	Locks     []string `json:"locks"` // what changed there
	SBOM      []string `json:"sbom"`  // what changed in what is built
	Stopped   string   `json:"stopped,omitempty"`
	Written   []string `json:"written"`
}

func newRaised(component, from string) raised {
	none := []string{}
	return raised{Schema: "palisade.raise.v1", Component: component, From: from, Series: none, Notes: none, Patches: []tried{}, Locks: none, SBOM: none, Written: none}
}

// A tried is a patch that was tried.
type tried struct {
	Patch   string   `json:"patch"`
	Applies bool     `json:"applies"`
	Drifts  []string `json:"drifts,omitempty"` // "greeting.go hunk 1 at line 3: …"
}

func (w *raiser) print(output string) error {
	var out bytes.Buffer
	if r := w.report; output == "json" {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		out.Write(append(data, '\n'))
	} else {
		r.text(&out)
	}
	w.console.Close()
	if _, err := os.Stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

func (r raised) text(out *bytes.Buffer) {
	fmt.Fprintf(out, "%s: %s -> %s\n", r.Component, r.From, r.To)
	for _, s := range r.Series {
		fmt.Fprintf(out, "series   %s\n", s)
	}
	for _, p := range r.Patches {
		if p.Applies {
			fmt.Fprintf(out, "applies  %s\n", p.Patch)
		}
		for _, d := range p.Drifts {
			fmt.Fprintf(out, "DRIFTS   %s  %s\n", p.Patch, d)
		}
	}
	for _, section := range []struct {
		name  string
		lines []string
	}{{"lock", r.Locks}, {"sbom", r.SBOM}, {"note", r.Notes}, {"written", r.Written}} {
		for _, line := range section.lines {
			fmt.Fprintf(out, "%-8s %s\n", section.name, line)
		}
	}
}
