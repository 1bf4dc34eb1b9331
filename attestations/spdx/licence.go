package spdx

import (
	"maps"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
)

// maxExpression bounds a licence expression, in bytes, before a parser that
// recurses sees it.
const maxExpression = 8 << 10

// validExpression reports whether s is an SPDX licence expression (SPDX 2.3,
// annex D). NONE and NOASSERTION are none.
func validExpression(s string) (valid bool) {
	if s == "" || len(s) > maxExpression || s != strings.TrimSpace(s) {
		return false
	}
	// The parser panics where an expression ends too early, as in "(".
	defer func() {
		if recover() != nil {
			valid = false
		}
	}()
	valid, _ = spdxexp.ValidateLicenses([]string{s})
	return valid
}

// combine is the expression that holds where all of these do: each operand of
// AND once, sorted, those with OR in parentheses.
func combine(expressions []string) string {
	all := map[string]bool{}
	for _, e := range expressions {
		for _, operand := range operands(e) {
			all[operand] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(all))
	if len(sorted) == 1 {
		return strings.TrimSuffix(strings.TrimPrefix(sorted[0], "("), ")")
	}
	return strings.Join(sorted, " AND ")
}

// operands splits an expression at those AND that bind weakest.
func operands(e string) []string {
	words := words(e)
	for len(words) > 1 && closing(words) == len(words)-1 {
		words = words[1 : len(words)-1]
	}
	var parts [][]string
	depth, start := 0, 0
	for i, w := range words {
		switch {
		case w == "(":
			depth++
		case w == ")":
			depth--
		case w == "OR" && depth == 0:
			return []string{"(" + join(words) + ")"}
		case w == "AND" && depth == 0:
			parts, start = append(parts, words[start:i]), i+1
		}
	}
	if start == 0 {
		return []string{join(words)}
	}
	var all []string
	for _, p := range append(parts, words[start:]) {
		all = append(all, operands(join(p))...)
	}
	return all
}

// closing is the index of the parenthesis that closes the one that words
// begin with, -1 where they do not.
func closing(words []string) int {
	depth := 0
	for i, w := range words {
		switch w {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth == 0 {
			if i == 0 {
				return -1
			}
			return i
		}
	}
	return -1
}

func words(e string) []string {
	return strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(e))
}

func join(words []string) string {
	return strings.NewReplacer("( ", "(", " )", ")").Replace(strings.Join(words, " "))
}

// identifiers are the licences that an expression names, each once, sorted,
// without operators and exceptions: what SPDX 2.3 has for the licences found
// in a file (8.6) and those of all files (7.14).
func identifiers(expression string) []string {
	all := map[string]bool{}
	skip := false
	for _, w := range words(expression) {
		switch w {
		case "AND", "OR", "(", ")":
		case "WITH":
			skip = true
		default:
			if !skip {
				all[w] = true
			}
			skip = false
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// references are the licences among these that the SPDX list does not have.
func references(expression string) []string {
	return slices.DeleteFunc(identifiers(expression), func(id string) bool { return !strings.HasPrefix(id, "LicenseRef-") })
}
