package licences

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/licensecheck"

	"palisade/recipes"
)

// maxRest bounds how many words of a told file lie outside its licences.
const maxRest = 96

// bargain is words that a title or a list of files has no need of, and a
// condition has.
var bargain = regexp.MustCompile(`(?i)\b(must|shall|may|can|cannot|not|no|only|except\w*|unless|until|prohibit\w*|forb[ia]d\w*|(non)?commercial\w*|permi\w+|restrict\w*|requir\w+|grant\w*|agree\w*|dual|either|choose|choice|option\w*|alternativ\w*|later|terms|conditions?|warrant\w*|liab\w+|patents?|trademarks?|fees?|royalt\w+|consent|provided|notwithstanding|indemn\w+|exclu\w+|evil|unmodified)\b`)

// names is licensecheck's identifiers that SPDX writes otherwise. A text alone
// does not say "or later".
var names = map[string]string{
	"AGPL-1.0": "AGPL-1.0-only", "AGPL-3.0": "AGPL-3.0-only",
	"GPL-1.0": "GPL-1.0-only", "GPL-2.0": "GPL-2.0-only", "GPL-3.0": "GPL-3.0-only",
	"LGPL-2.0": "LGPL-2.0-only", "LGPL-2.1": "LGPL-2.1-only", "LGPL-3.0": "LGPL-3.0-only",
	"GFDL-1.1": "GFDL-1.1-only", "GFDL-1.2": "GFDL-1.2-only", "GFDL-1.3": "GFDL-1.3-only",
	"bzip2-1.0.5": "bzip2-1.0.6",
}

// grants is licensecheck's identifiers of texts that only add rights.
var grants = map[string]bool{"GooglePatentsFile": true, "GooglePatentClause": true}

// A finding is what the classifier says of a text.
type finding struct {
	ids  []string // SPDX, sorted
	told bool     // whether nothing else of weight is in it
}

// wordings is licences in words that licensecheck does not know.
var wordings = sync.OnceValue(func() *licensecheck.Scanner {
	scanner, err := licensecheck.NewScanner([]licensecheck.License{
		// Without "software" in its disclaimer: domhandler, entities and others of their author's.
		{ID: "BSD-2-Clause", LRE: `Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met:
Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.
Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following disclaimer in the documentation and/or other materials provided with the distribution.
THIS IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED.
IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.`},
	})
	if err != nil {
		panic(err) // the table above is wrong
	}
	return scanner
})

// classify tells the licences in a text.
func classify(text string) finding {
	f := weigh(text, licensecheck.Scan([]byte(text)))
	if !f.told {
		if other := weigh(text, wordings().Scan([]byte(text))); other.told {
			return other
		}
	}
	return f
}

// weigh looks at what a scan found, and at what it left.
func weigh(text string, cover licensecheck.Coverage) finding {
	ids := map[string]bool{}
	told := true
	var rest strings.Builder
	last := 0
	for _, m := range cover.Match {
		if m.IsURL {
			continue
		}
		rest.WriteString(text[last:m.Start] + "\n")
		last = m.End
		id := m.ID
		if spdx, ok := names[id]; ok {
			id = spdx
		}
		switch {
		case grants[id]:
		case recipes.ValidLicence(id):
			ids[id] = true
		default:
			told = false
		}
	}
	rest.WriteString(text[last:])
	return finding{ids: slices.Sorted(maps.Keys(ids)), told: told && len(ids) > 0 && idle(rest.String())}
}

var wordForm = regexp.MustCompile(`[\pL\pN][\pL\pN'’.\-/_]*`)

// idle reports whether what is left of a licence file could not change what
// the licence says. Copyright lines do not, however many.
func idle(rest string) bool {
	words := 0
	for line := range strings.Lines(rest) {
		if copyrightLine(line) != "" {
			continue
		}
		if bargain.MatchString(line) {
			return false
		}
		words += len(wordForm.FindAllString(line, maxRest+1))
	}
	return words <= maxRest
}
