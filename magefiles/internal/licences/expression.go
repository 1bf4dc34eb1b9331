package licences

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"

	"palisade/recipes"
)

const maxExpression = recipes.MaxExpression

var tokenForm = regexp.MustCompile(`\(|\)|[^\s()]+`)

// canonical is an expression with identifiers as the SPDX list writes them,
// operators in capitals and single blanks.
func canonical(expression string) (string, error) {
	if !recipes.ValidLicence(expression) {
		if len(expression) > maxExpression {
			expression = expression[:maxExpression] + "…"
		}
		return "", fmt.Errorf("%q is not an SPDX licence expression", expression)
	}
	tokens := tokenForm.FindAllString(expression, -1)
	for i, t := range tokens {
		if operator(strings.ToUpper(t)) {
			tokens[i] = strings.ToUpper(t)
		} else if ok, id := spdxexp.ActiveLicense(t); ok {
			tokens[i] = id
		}
		if id, ok := names[tokens[i]]; ok {
			tokens[i] = id
		}
	}
	return unwrapped(joined(tokens)), nil
}

func operator(token string) bool {
	return token == "AND" || token == "OR" || token == "WITH" || token == "(" || token == ")"
}

// parts is the identifiers in a canonical expression, each once, sorted.
func parts(expression string) []string {
	ids := slices.DeleteFunc(tokenForm.FindAllString(expression, -1), operator)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Combine is the expression of what is under all of the given ones: AND of
// all, each once, sorted. An AND is taken apart, an OR stands in parentheses.
// It is "" for none.
func Combine(expressions []string) string {
	var all []string
	for _, e := range expressions {
		all = append(all, terms(unwrapped(e))...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 1 {
		return unwrapped(all[0])
	}
	return strings.Join(all, " AND ")
}

// terms is what an expression joins by AND.
func terms(e string) []string {
	var all []string
	var term []string
	depth := 0
	for _, t := range tokenForm.FindAllString(e, -1) {
		switch {
		case t == "(":
			depth++
		case t == ")":
			depth--
		case t == "OR" && depth == 0:
			return []string{"(" + e + ")"}
		case t == "AND" && depth == 0:
			all = append(all, joined(term))
			term = nil
			continue
		}
		term = append(term, t)
	}
	if len(term) > 0 {
		all = append(all, joined(term))
	}
	return all
}

func joined(tokens []string) string {
	return strings.NewReplacer("( ", "(", " )", ")").Replace(strings.Join(tokens, " "))
}

// unwrapped is e without parentheses around all of it.
func unwrapped(e string) string {
	for strings.HasPrefix(e, "(") {
		depth, end := 0, 0
		for i, r := range e {
			if r == '(' {
				depth++
			} else if r == ')' {
				depth--
			}
			if depth == 0 {
				end = i
				break
			}
		}
		if end != len(e)-1 {
			break
		}
		e = strings.TrimSpace(e[1:end])
	}
	return e
}
