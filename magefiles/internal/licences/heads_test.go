package licences

import (
	"strings"
	"testing"
)

// A source file that asks for a licence of which there is no text makes the
// package unknown to those who link it.
func TestTags(t *testing.T) {
	const at = "example.org/bell@v1.0.0/"
	apache, mit := standardText(t, "Apache-2.0"), standardText(t, "MIT")
	found, err := newReader(t).Module(t.Context(), moduleOf(t,
		file{at + "LICENSE", apache},
		file{at + "bell.go", "// SPDX-License-Identifier: Apache-2.0\npackage bell\nconst tag = `SPDX-License-Identifier: GPL-3.0-only`\n"},
		file{at + "choice/choice.c", "/* SPDX-License-Identifier: (GPL-2.0-only OR apache-2.0) */\n"},
		file{at + "both/a.go", "// SPDX-License-Identifier: Apache-2.0 AND MIT\n"},
		file{at + "both/b.go", "// SPDX-License-Identifier: Apache-2.0 AND MIT\n"},
		file{at + "both/b_test.go", "// SPDX-License-Identifier: ISC\n"},
		file{at + "mit/LICENSE", mit},
		file{at + "mit/mit.go", "// SPDX-License-Identifier: Apache-2.0 AND MIT\n"},
		file{at + "odd/odd.go", "// SPDX-License-Identifier: ours\n"},
		file{at + "half/half.go", "// SPDX-License-Identifier: (\n"},
	))
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"": "", "choice": "", "mit": "",
		"both": "both/a.go (SPDX-License-Identifier Apache-2.0 AND MIT, of which there is no text)",
		"odd":  "odd/odd.go (SPDX-License-Identifier ours, of which there is no text)",
		"half": "half/half.go (SPDX-License-Identifier (, of which there is no text)",
	} {
		f := found.For([]string{dir})
		if got := strings.Join(f.Unknown, "; "); got != want || (f.Expression == "") != (want != "") {
			t.Errorf("%q: %q (%s), want %q", dir, got, f.Expression, want)
		}
	}
}
