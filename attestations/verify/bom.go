package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"palisade/attestations/artifact"
	"palisade/attestations/spdx"
)

// A bom is what is compared of an SPDX document. Package spdx has read it
// before, so that every key is there once and every value of its kind.
type bom struct {
	Packages []struct {
		ID           string     `json:"SPDXID"`
		Name         string     `json:"name"`
		Version      string     `json:"versionInfo"`
		File         string     `json:"packageFileName"`
		Checksums    []checksum `json:"checksums"`
		ExternalRefs []struct {
			Type    string `json:"referenceType"`
			Locator string `json:"referenceLocator"`
		} `json:"externalRefs"`
	} `json:"packages"`
	Files []struct {
		ID        string     `json:"SPDXID"`
		Name      string     `json:"fileName"`
		Checksums []checksum `json:"checksums"`
	} `json:"files"`
	Relationships []struct {
		From string `json:"spdxElementId"`
		Kind string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	} `json:"relationships"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

func sha256Of(sums []checksum) string {
	for _, s := range sums {
		if s.Algorithm == "SHA256" {
			return s.Value
		}
	}
	return ""
}

// checkContents holds a document against the artifact as it was found: what it
// describes, every file with its digest, for every binary the modules that are
// linked into it, and no others, and what else is embedded in them.
func checkContents(doc document, r artifact.Record, in insideOf) error {
	d, err := spdx.Parse(bytes.NewReader(doc.beside))
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContents, err)
	}
	if err := doc.same(); err != nil {
		return fmt.Errorf("%s: %w", r.Name+spdxSuffix, err)
	}
	var b bom
	if err := json.Unmarshal(doc.beside, &b); err != nil {
		return fmt.Errorf("%w: %w", ErrContents, err)
	}
	for _, check := range []func(artifact.Record, insideOf) error{b.root, b.members, b.modules, b.patches, b.embedded} {
		if err := check(r, in); err != nil {
			return fmt.Errorf("%w: %w", ErrContents, err)
		}
	}
	return nil
}

// root is the first package, as Check has made sure.
func (b bom) root(r artifact.Record, _ insideOf) error {
	p := b.Packages[0]
	if p.Name != r.Component || p.Version != r.Version || p.File != r.Name || sha256Of(p.Checksums) != r.Digest.Hex() {
		return fmt.Errorf("it describes %.100q %.60q in the file %.200q, SHA-256 %.64s", p.Name, p.Version, p.File, sha256Of(p.Checksums))
	}
	return nil
}

// ends are the far ends of the relationships of one kind, by their near ends.
func (b bom) ends(kind string) map[string][]string {
	all := map[string][]string{}
	for _, r := range b.Relationships {
		if r.Kind == kind {
			all[r.From] = append(all[r.From], r.To)
		}
	}
	return all
}

func (b bom) members(_ artifact.Record, in insideOf) error {
	want := map[string]string{}
	for _, m := range in.members {
		want["./"+m.Name] = m.Digest.Hex()
	}
	contained := map[string]bool{}
	for _, id := range b.ends("CONTAINS")[b.Packages[0].ID] {
		contained[id] = true
	}
	got := map[string]string{}
	for _, f := range b.Files {
		if !contained[f.ID] {
			continue
		}
		if _, twice := got[f.Name]; twice {
			return fmt.Errorf("it lists the file %.300q twice", f.Name)
		}
		got[f.Name] = sha256Of(f.Checksums)
	}
	return same("file", got, want)
}

// modules compares what each binary links.
func (b bom) modules(_ artifact.Record, in insideOf) error {
	names := map[string]string{} // of packages: purl and h1 by identifier
	for _, p := range b.Packages {
		var purl, h1 string
		for _, ref := range p.ExternalRefs {
			switch ref.Type {
			case "purl":
				purl = ref.Locator
			case "goModuleH1":
				h1 = ref.Locator
			}
		}
		names[p.ID] = purl + " " + h1
	}
	links := b.ends("STATIC_LINK")
	for _, member := range slices.Sorted(maps.Keys(in.binaries)) {
		binary := in.binaries[member]
		want, got := map[string]string{}, map[string]string{}
		enter := func(into map[string]string, s string) {
			purl, h1, _ := strings.Cut(s, " ")
			into[purl] = h1
		}
		enter(want, spdx.StdPURL(strings.TrimPrefix(binary.GoVersion, "go"))+" ")
		for _, m := range append([]artifact.Module{binary.Main}, binary.Modules...) {
			m = compiled(m)
			enter(want, spdx.GoPURL(m.Path, m.Version)+" "+m.Sum)
		}
		for _, f := range b.Files {
			if f.Name != "./"+member {
				continue
			}
			for _, id := range links[f.ID] {
				enter(got, names[id])
			}
		}
		if err := same("module of "+binary.Name, got, want); err != nil {
			return err
		}
	}
	return nil
}

// patches compares the patches of every module that is linked.
func (b bom) patches(r artifact.Record, _ insideOf) error {
	want, got := map[string]string{}, map[string]string{}
	for _, p := range r.Patched {
		for _, file := range p.Patches {
			want["./patches/"+file.Name] = file.Digest.Hex()
		}
	}
	applied := b.ends("PATCH_APPLIED")
	for _, f := range b.Files {
		if len(applied[f.ID]) == 0 {
			continue
		}
		if _, twice := got[f.Name]; twice {
			return fmt.Errorf("it lists the patch %.300q twice", f.Name)
		}
		got[f.Name] = sha256Of(f.Checksums)
	}
	return same("patch", got, want)
}

// embedded wants every package that is in a binary and no Go module, with its
// hash where it has one. That the document names others too is not looked at.
func (b bom) embedded(r artifact.Record, _ insideOf) error {
	references := map[string][]string{} // of packages, by purl
	for _, p := range b.Packages {
		var purl string
		var all []string
		for _, ref := range p.ExternalRefs {
			if all = append(all, ref.Locator); ref.Type == "purl" {
				purl = ref.Locator
			}
		}
		references[purl] = all
	}
	commits := map[string]string{} // hashes of what was compiled, by name and version
	if r.UI != nil {
		for _, g := range r.UI.Commits {
			commits[g.Name] = g.Sum
		}
	}
	for _, e := range r.Embedded {
		hash := e.Integrity
		if e.Evidence == artifact.ByCompiler {
			hash = commits[e.Name+"@"+e.Version]
		}
		if all := references[e.PURL]; all == nil || hash != "" && !slices.Contains(all, hash) {
			return fmt.Errorf("it lacks the package %.300q, or has it with another hash", e.PURL)
		}
	}
	return nil
}

func same(what string, got, want map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[name]; !ok {
			return fmt.Errorf("it lacks the %s %.300q", what, name)
		} else if g != want[name] {
			return fmt.Errorf("of the %s %.300q it says %.80q, found was %.80q", what, name, g, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("it lists a %s that is not there, %.300q", what, name)
		}
	}
	return nil
}
