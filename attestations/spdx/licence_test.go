package spdx

import (
	"slices"
	"strings"
	"testing"
)

func TestCombine(t *testing.T) {
	for _, tt := range []struct {
		in   []string
		want string
	}{
		{[]string{"MIT"}, "MIT"},
		{[]string{"MIT", "Apache-2.0", "MIT"}, "Apache-2.0 AND MIT"},
		{[]string{"MIT AND BSD-3-Clause", "Apache-2.0"}, "Apache-2.0 AND BSD-3-Clause AND MIT"},
		{[]string{"MIT OR Apache-2.0"}, "MIT OR Apache-2.0"},
		{[]string{"MIT OR Apache-2.0", "ISC"}, "(MIT OR Apache-2.0) AND ISC"},
		{[]string{"(MIT OR Apache-2.0)", "MIT OR Apache-2.0"}, "MIT OR Apache-2.0"},
		{[]string{"(MIT OR Apache-2.0) AND (BSD-2-Clause OR ISC)", "MIT"}, "(BSD-2-Clause OR ISC) AND (MIT OR Apache-2.0) AND MIT"},
		{[]string{"(MIT) OR (ISC AND Zlib)", "MIT"}, "((MIT) OR (ISC AND Zlib)) AND MIT"},
		{[]string{"MIT OR ISC AND Zlib", "MIT"}, "(MIT OR ISC AND Zlib) AND MIT"},
		{[]string{"Apache-2.0 WITH LLVM-exception", "Apache-2.0"}, "Apache-2.0 AND Apache-2.0 WITH LLVM-exception"},
		{[]string{"((MIT AND (ISC AND Zlib)))"}, "ISC AND MIT AND Zlib"},
	} {
		got := combine(tt.in)
		if got != tt.want {
			t.Errorf("%q together are %q, want %q", tt.in, got, tt.want)
		}
		reversed := slices.Clone(tt.in)
		slices.Reverse(reversed)
		if again := combine(reversed); again != got {
			t.Errorf("%q together depend on their order: %q, %q", tt.in, got, again)
		}
		if !validExpression(got) {
			t.Errorf("%q is no expression", got)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	got := identifiers("(MIT OR Apache-2.0 WITH LLVM-exception) AND LicenseRef-palisade-x AND MIT")
	if want := []string{"Apache-2.0", "LicenseRef-palisade-x", "MIT"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestValidExpression(t *testing.T) {
	for s, want := range map[string]bool{
		"MIT": true, "GPL-2.0-only WITH Classpath-exception-2.0": true, "LicenseRef-palisade-x": true, "MIT AND (ISC OR Zlib)": true,
		"": false, "NONE": false, "NOASSERTION": false, "MIT AND": false, "MIT ISC": false, "(": false, "MIT AND (": false, "Fancy-1.0": false, " MIT": false,
		strings.Repeat("(", maxExpression) + "MIT": false, "MIT" + strings.Repeat(" AND MIT", maxExpression): false,
	} {
		if got := validExpression(s); got != want {
			t.Errorf("validExpression(%.60q) = %t", s, got)
		}
	}
}
