package licences

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	rule = "================================================================================"
	head = `%s

What is listed here is in the programs beside this file, in whole or in part.
First comes every package with its licence, as an SPDX licence expression
(https://spdx.org/licenses/), and the holders of copyright that its files name;
then each text that comes with the packages (licences, notices, grants of
patents), once, below the names of all packages and files that hold it. The
texts are as they were published, but for encoding, line ends and control
characters.
`
)

// WriteTexts writes THIRD_PARTY_LICENSES: well-formed UTF-8 with lines of any
// length. Title is its first line. The order is that of the packages' names
// and versions; the same verdicts give the same bytes in whatever order.
func WriteTexts(w io.Writer, title string, verdicts []Verdict) error {
	verdicts = slices.Clone(verdicts)
	slices.SortFunc(verdicts, func(a, b Verdict) int {
		return strings.Compare(a.Name+"\x00"+a.Version+"\x00"+a.PURL, b.Name+"\x00"+b.Version+"\x00"+b.PURL)
	})
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, head, title)
	fmt.Fprintf(out, "\n%s\nPACKAGES\n%s\n", rule, rule)
	for _, v := range verdicts {
		fmt.Fprintf(out, "\n%s %s\n  %s\n  %s\n", v.Name, v.Version, v.PURL, v.Expression)
		if v.Stated != "" {
			fmt.Fprintf(out, "  (stated: %s)\n", strings.Join(strings.Fields(v.Stated), " "))
		}
		for _, c := range v.Copyright {
			fmt.Fprintf(out, "  %s\n", c)
		}
	}
	for i, group := range grouped(verdicts) {
		fmt.Fprintf(out, "\n%s\nTEXT %d, of\n", rule, i+1)
		for _, owner := range group.owners {
			fmt.Fprintf(out, "  %s\n", owner)
		}
		fmt.Fprintf(out, "%s\n\n%s", rule, group.content)
	}
	return out.Flush()
}

// shared is a text and all that hold it.
type shared struct {
	content string
	owners  []string // "name version: file"
}

// grouped is every text once, in the order in which they are met first.
func grouped(verdicts []Verdict) []shared {
	var all []shared
	at := map[string]int{}
	for _, v := range verdicts {
		for _, t := range v.Texts {
			i, ok := at[t.Content]
			if !ok {
				i = len(all)
				at[t.Content] = i
				all = append(all, shared{content: t.Content})
			}
			all[i].owners = append(all[i].owners, fmt.Sprintf("%s %s: %s", v.Name, v.Version, t.Name))
		}
	}
	return all
}
