package notes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/page"
	"palisade/attestations/vex"
)

// A finding is what is said of one vulnerability in one version of a module, and
// of which components.
type finding struct {
	verdict vex.Verdict
	in      []string
}

// said are the words for a status; what is open comes out strong.
func said(v vex.Verdict) string {
	text := page.Prose(strings.ReplaceAll(string(v.Status), "_", " "))
	if v.Open() {
		return "**" + text + "**"
	}
	return text
}

// findings puts what is said alike of several archives together.
func (w *writer) findings() (all []finding) {
	compare := func(f finding, v vex.Verdict) int {
		g := f.verdict
		return slices.Compare(
			[]string{g.ID, g.Module, g.Version, string(g.Status), g.Justification, g.Note, strings.Join(g.Aliases, " ")},
			[]string{v.ID, v.Module, v.Version, string(v.Status), v.Justification, v.Note, strings.Join(v.Aliases, " ")})
	}
	for _, name := range slices.Sorted(maps.Keys(w.Known)) {
		r := w.record(name)
		of := component{r.Component, r.Variant}.String()
		for _, v := range w.Known[name].Verdicts {
			at, found := slices.BinarySearchFunc(all, v, compare)
			if !found {
				all = slices.Insert(all, at, finding{verdict: v})
			}
			if i, there := slices.BinarySearch(all[at].in, of); !there {
				all[at].in = slices.Insert(all[at].in, i, of)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b finding) int { // what is open comes first
		switch {
		case a.verdict.Open() == b.verdict.Open():
			return 0
		case a.verdict.Open():
			return -1
		}
		return 1
	})
	return all
}

func (w *writer) vulnerabilities() {
	w.section("Known vulnerabilities")
	if len(w.Known) == 0 {
		w.say("Nobody looked.")
		return
	}
	for _, d := range w.data() {
		w.say("By the data of %s (snapshot %s).", page.Prose(d.Modified.UTC().Format(time.RFC3339)), page.Code(d.Digest.String()))
	}
	w.say("")
	all := w.findings()
	if len(all) == 0 {
		w.say("None in what is linked.")
	} else {
		var rows [][]string
		for _, f := range all {
			v := f.verdict
			rows = append(rows, []string{codes(append([]string{v.ID}, v.Aliases...)), page.Code(v.Module) + " " + page.Code(v.Version), said(v), page.Prose(why(v)), page.Prose(strings.Join(f.in, ", "))})
		}
		w.table([]string{"vulnerability", "in", "", "why, or what to do", "component"}, rows)
	}
	var missing []string
	for _, r := range w.New.Artifacts {
		if _, looked := w.Known[r.Name]; !looked {
			missing = append(missing, r.Name)
		}
	}
	if len(missing) > 0 {
		w.say("\nNobody looked at %s.", codes(missing))
	}
	w.say("\nThis is of Go code. The database knows nothing of the npm packages in web interfaces.")
}

// data are the snapshots that were looked into, the oldest first: one, unless
// somebody looked again later.
func (w *writer) data() (all []vex.Data) {
	for _, d := range w.Known {
		if !slices.Contains(all, d.Data) {
			all = append(all, d.Data)
		}
	}
	slices.SortFunc(all, func(a, b vex.Data) int {
		if n := a.Modified.Compare(b.Modified); n != 0 {
			return n
		}
		return strings.Compare(a.Digest.String()+a.Scanner, b.Digest.String()+b.Scanner)
	})
	return all
}

// why joins the reason of OpenVEX's list and our own words.
func why(v vex.Verdict) string {
	reason := strings.ReplaceAll(v.Justification, "_", " ")
	switch {
	case v.Note == "":
		return reason
	case reason == "":
		return v.Note
	}
	return reason + ": " + v.Note
}

func (w *writer) digests(index artifact.Digest) {
	w.section("Digests")
	rows := [][]string{{"`release.json`", page.Code(index.String())}}
	for _, r := range w.New.Artifacts {
		rows = append(rows, []string{page.Code(r.Name), page.Code(r.Digest.String())})
	}
	for _, i := range w.New.Images {
		rows = append(rows, []string{page.Code(i.Name), page.Code(i.Digest.String())})
		rows = append(rows, []string{page.Code(i.Name) + ", in a registry", page.Code(i.Index.String())})
	}
	w.table([]string{"file", "digest"}, rows)
}

func (w *writer) verifying() {
	w.section("How to verify")
	name := w.New.Artifacts[0].Name // validate has seen that it is a plain one
	w.say("With a checkout of this repository, the files in a folder, and beside it the index of releases and its bundle;")
	w.say("`policy.yaml` is `release.yaml` with the addresses of the publisher, `trusted_root.json` is from elsewhere than the release:\n")
	version := ""
	if w.Release != "" {
		version = " -version=" + w.Release
	}
	w.say("```sh\ngo tool mage verify -path=%s -policy=policy.yaml -trustedRoot=trusted_root.json -index=releases.json%s\n```\n", folder(w.Release), version)
	w.say("With cosign alone, where `$identity` and `$issuer` are whom you expect, exactly; this looks at signatures, and judges nothing of what is signed:\n")
	signed := `--certificate-identity "$identity" --certificate-oidc-issuer "$issuer" --use-signed-timestamps --trusted-root trusted_root.json`
	w.say("```sh\ncd %s", folder(w.Release))
	w.say("cosign verify-blob %s --bundle release.json.sigstore.json release.json", signed)
	w.say("cosign verify-blob %s --bundle %s.sigstore.json %s", signed, name, name)
	w.say("cosign verify-blob-attestation %s --type slsaprovenance1 --bundle %s.provenance.sigstore.json %s", signed, name, name)
	w.say("sha256sum -c SHA256SUMS\n```")
}

// folder is where a release lies where it was published as files.
func folder(release string) string {
	if release == "" {
		return "dist"
	}
	return fmt.Sprintf("v%s", release)
}
