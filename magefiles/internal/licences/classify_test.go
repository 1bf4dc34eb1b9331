package licences

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// standardText is the standard text of a licence, with a line of copyright.
func standardText(t testing.TB, id string) string {
	t.Helper()
	data, err := standard.ReadFile("standard/" + id + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return "Copyright (c) 2020 Ada Bell\n\n" + string(data)
}

func TestClassify(t *testing.T) {
	mit, bsd, apache := standardText(t, "MIT"), standardText(t, "BSD-3-Clause"), standardText(t, "Apache-2.0")
	for _, tt := range []struct {
		name, text string
		ids        string
		told       bool
	}{
		{"MIT", mit, "MIT", true},
		{"ISC", standardText(t, "ISC"), "ISC", true},
		{"two clauses", standardText(t, "BSD-2-Clause"), "BSD-2-Clause", true},
		{"three clauses", bsd, "BSD-3-Clause", true},
		{"Apache", apache, "Apache-2.0", true},
		{"several", mit + "\n\n" + bsd, "BSD-3-Clause MIT", true},
		{"which files", "Files: s2/* and everything in snappy/\n" + bsd + "The parser is ported from libfoo:\n" + mit, "BSD-3-Clause MIT", true},
		{"many holders", strings.Repeat("Copyright (c) 2011 Carl Drum\n", 90) + mit, "MIT", true},
		{"lines of another system", strings.ReplaceAll(mit, "\n", "\r\n"), "MIT", true},
		{"a short condition more", mit + "\nThe Software shall be used for hiking, only.\n", "MIT", false},
		{"three words more", mit + "\nNon-commercial use.\n", "MIT", false},
		{"much more", mit + strings.Repeat("word ", maxRest+1), "MIT", false},
		{"a choice", "You may choose either license.\n" + mit, "MIT", false},
		{"the limit of part of it", mit + "\nSome files have their own licence, whose terms differ.\n", "MIT", false},
		{"JSON's MIT is not MIT", strings.Replace(mit, "THE SOFTWARE IS PROVIDED", "The Software shall be used for Good, not Evil.\n\nTHE SOFTWARE IS PROVIDED", 1), "JSON", true},
		{"not on the SPDX list", mit + commonsClause, "MIT", false},
		{"an address", "See https://opensource.org/licenses/MIT\n", "", false},
		{"a name", "Licensed under MIT.\n", "", false},
		{"nothing", "", "", false},
		{"half a licence", mit[:len(mit)/2], "", false},
		{"a disclaimer of other words", strings.NewReplacer("1. ", "", "2. ", "", "THIS SOFTWARE", "THIS").Replace(standardText(t, "BSD-2-Clause")), "BSD-2-Clause", true},
	} {
		got := classify(readable([]byte(tt.text)))
		if strings.Join(got.ids, " ") != tt.ids || got.told != tt.told {
			t.Errorf("%s: %v, told %v; want %s, %v", tt.name, got.ids, got.told, tt.ids, tt.told)
		}
	}
}

const commonsClause = `
"Commons Clause" License Condition v1.0

The Software is provided to you by the Licensor under the License, as defined below, subject to the following condition.

Without limiting other conditions in the License, the grant of rights under the License will not include, and the License does not grant to you, the right to Sell the Software.

For purposes of the foregoing, "Sell" means practicing any or all of the rights granted to you under the License to provide to third parties, for a fee or other consideration (including without limitation fees for hosting or consulting/ support services related to the Software), a product or service whose value derives, entirely or substantially, from the functionality of the Software. Any license notice or attribution required by the License must also include this Commons Clause License Condition notice.

Software: Bell
License: MIT
Licensor: Ada Bell
`

// What stands for a licence in THIRD_PARTY_LICENSES is that licence.
func TestStandard(t *testing.T) {
	files, err := standard.ReadDir("standard")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		id := strings.TrimSuffix(f.Name(), ".txt")
		data, err := standard.ReadFile("standard/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := newText("x", readable(data), licence); !slices.Equal(got.Licences, []string{id}) || !got.Told || len(got.Copyright) > 0 {
			t.Errorf("%s is %v, told %v, with %q", f.Name(), got.Licences, got.Told, got.Copyright)
		}
	}
}

func TestReadable(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{"", ""},
		{"\n \n", ""},
		{"a", "a\n"},
		{"\ufeffa \t\r\nb\rc\n\n", "a\nb\nc\n"},
		{"  a\n\tb", "  a\n\tb\n"},
		{"a\x1b[31mb\x00\f\u009bc", "a[31mbc\n"},
		{"© Bj\xf6rn", "Â© Björn\n"},
		{"\xa9 Bj\xf6rn", "© Björn\n"},
		{"\xff\xfe\xa9\x00\n\x00", "©\n"},
		{"\xfe\xff\x00\xa9\x00", "©\n"},
		{"\xff\xfe\x00\xd8", "\ufffd\n"},
	} {
		if got := readable([]byte(tt.data)); got != tt.want {
			t.Errorf("%q is %q, want %q", tt.data, got, tt.want)
		}
	}
}

func TestCopyrights(t *testing.T) {
	for line, want := range map[string]string{
		"Copyright 2012 The Bell Authors":                                    "Copyright 2012 The Bell Authors",
		" * Copyright (c) 2012,\t 2013  Ada Bell <ada@example.org> */":       "Copyright (c) 2012, 2013 Ada Bell <ada@example.org>",
		"// Copyright The Bell Authors":                                      "Copyright The Bell Authors",
		"# SPDX-FileCopyrightText: 2019 Ada Bell":                            "Copyright 2019 Ada Bell",
		"// SPDX-FileCopyrightText: Copyright 2019 Ada Bell":                 "Copyright 2019 Ada Bell",
		"© 2019 Ada Bell":                                                    "© 2019 Ada Bell",
		"(c) 2019 Ada Bell":                                                  "(c) 2019 Ada Bell",
		"Copyright (c) Felix Böhm":                                           "Copyright (c) Felix Böhm",
		"Portions Copyright (c) 2009 The Go Authors":                         "Portions Copyright (c) 2009 The Go Authors",
		"Copyright 2009 The Go Authors. Use of this source code is governed": "Copyright 2009 The Go Authors.",
		"<!-- Copyright 2009 Ada Bell -->":                                   "Copyright 2009 Ada Bell",
		"The above copyright notice and this permission notice shall be":     "",
		"Copyright (C) yyyy name of author":                                  "",
		"Copyright [yyyy] [name of copyright owner]":                         "",
		"Copyright (c) <year> <copyright holders>":                           "",
		"Copyright {yyyy} {name of copyright owner}":                         "",
		"copyright owner or by an individual or Legal Entity authorized":     "",
		"copyright (c) law of 1976":                                          "",
		"Copyright and related rights for sample code are waived via CC0":    "",
		"COPYRIGHT HOLDERS AND CONTRIBUTORS \"AS IS\" AND ANY EXPRESS 2001":  "",
		"(c) You must retain, in the Source form of any Derivative Works":    "",
		"Copyright Disclaimer 2019":                                          "",
		"copyright starting in 2011 when the project was ported over:":       "",
		"copyright := 2019":                                                  "",
		"Copyright 2019 " + strings.Repeat("x", maxLine):                     "",
	} {
		if got := copyrightLine(line); got != want {
			t.Errorf("%q is %q, want %q", line, got, want)
		}
	}
	got := copyrights("Copyright (C) 2007 Free Software Foundation, Inc.\nCopyright 2019 Ada Bell\nCopyright 2019 Ada Bell\n", []string{"GPL-3.0-only"})
	if !slices.Equal(got, []string{"Copyright 2019 Ada Bell"}) {
		t.Errorf("got %q", got)
	}
}

func TestCombine(t *testing.T) {
	for want, in := range map[string][]string{
		"":                              {"", ""},
		"MIT":                           {"MIT", "", "MIT"},
		"Apache-2.0 AND MIT":            {"MIT", "Apache-2.0", "MIT AND Apache-2.0"},
		"MIT OR Apache-2.0":             {"(MIT OR Apache-2.0)"},
		"(MIT OR Apache-2.0) AND ISC":   {"ISC", "MIT OR Apache-2.0", "(MIT OR Apache-2.0) AND ISC"},
		"(A OR B) AND (C OR D)":         {"(A OR B) AND (C OR D)"},
		"GPL-2.0-only WITH X AND MIT":   {"MIT", "GPL-2.0-only WITH X"},
		"(A AND (B OR C) OR D) AND MIT": {"MIT", "A AND (B OR C) OR D"},
	} {
		if got := Combine(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"mit":                       "MIT",
		"( MIT OR  apache-2.0 )":    "MIT OR Apache-2.0",
		"GPL-3.0":                   "GPL-3.0-only",
		"LicenseRef-Bell AND MIT":   "LicenseRef-Bell AND MIT",
		"SEE LICENSE IN LICENSE.md": "",
		"UNLICENSED":                "",
		"MIT OR":                    "",
		"(":                         "",
		"MIT OR DocumentRef-bell:":  "",
		"":                          "",
		strings.Repeat("(", 600) + "MIT" + strings.Repeat(")", 600): "",
	} {
		if got, err := canonical(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
}

// Whatever a file holds, it can be passed on, and is told only with a licence.
func FuzzText(f *testing.F) {
	for _, s := range []string{standardText(f, "MIT"), standardText(f, "Apache-2.0"), commonsClause, "\xff\xfe\x00\xd8", "© \x1b[2J", "Copyright 2019 \xf6", strings.Repeat("copyright (c) ", 50)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		content := readable(data)
		if !utf8.ValidString(content) || strings.ContainsAny(content, "\r\x00\x1b") || readable([]byte(content)) != content {
			t.Errorf("%q is passed on as %q", data, content)
		}
		got := newText("LICENSE", content, licence)
		if got.Told && len(got.Licences) == 0 {
			t.Error("told without a licence")
		}
		for _, id := range got.Licences {
			if c, err := canonical(id); err != nil || c != id {
				t.Errorf("%q is not of the SPDX list: %q, %v", id, c, err)
			}
		}
		for _, c := range got.Copyright {
			if len(c) > maxLine+len("Copyright ") || strings.ContainsAny(c, "\n\t") {
				t.Errorf("%q is no line", c)
			}
		}
	})
}
