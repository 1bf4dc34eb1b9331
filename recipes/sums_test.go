package recipes

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"golang.org/x/mod/module"
)

const someSums = `example.org/bell v1.2.0 h1:a=
example.org/bell v1.2.0/go.mod h1:b=
example.org/bell v1.10.0 h1:c=
example.org/rope v0.1.0/go.mod h1:d=
`

func TestParseSums(t *testing.T) {
	sums, err := ParseSums("go.sum", []byte(someSums))
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) != 4 || sums[module.Version{Path: "example.org/bell", Version: "v1.2.0/go.mod"}] != "h1:b=" {
		t.Errorf("got %v", sums)
	}
	shuffled := "\nexample.org/rope v0.1.0/go.mod h1:d=\n  example.org/bell   v1.10.0\th1:c=\r\n" + strings.Join(strings.SplitAfter(someSums, "\n")[:2], "")
	again, err := ParseSums("go.sum", []byte(shuffled))
	if err != nil || !maps.Equal(sums, again) {
		t.Errorf("in other order: %v, %v", again, err)
	}
	if got := string(again.Encode()); got != someSums {
		t.Errorf("Encode:\n%s", got)
	}
	for _, tt := range []struct{ text, want string }{
		{"a v1.0.0", "s:1: not of the form"},
		{someSums + "a v1.0.0 h1:a= x\n", "s:5: not of the form"},
		{"a v1.0.0 h2:a=", "s:1: not of the form"},
		{"\na v1.0.0 h1:a=\na v1.0.0 h1:b=\n", "s:3: a second hash of a@v1.0.0"},
		{"<<<<<<< HEAD\n", "s:1: not of the form"},
	} {
		if _, err := ParseSums("s", []byte(tt.text)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %s", tt.text, err, tt.want)
		}
	}
	if sums, err := ParseSums("s", []byte("a v1 h1:a=\na v1 h1:a=")); err != nil || len(sums) != 1 {
		t.Errorf("the same line twice: %v, %v", sums, err)
	}
}

func TestDiffSums(t *testing.T) {
	old, err := ParseSums("old", []byte(someSums))
	if err != nil {
		t.Fatal(err)
	}
	changed := maps.Clone(old)
	delete(changed, module.Version{Path: "example.org/bell", Version: "v1.2.0"})
	changed[module.Version{Path: "example.org/bell", Version: "v1.10.0"}] = "h1:C="
	changed[module.Version{Path: "example.org/axle", Version: "v1.0.0"}] = "h1:e="
	want := `+ example.org/axle v1.0.0 h1:e=
- example.org/bell v1.2.0 h1:a=
- example.org/bell v1.10.0 h1:c=
+ example.org/bell v1.10.0 h1:C=`
	if got := strings.Join(DiffSums(old, changed), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if lines := DiffSums(old, maps.Clone(old)); len(lines) != 0 {
		t.Errorf("of the same: %q", lines)
	}
}

// What is read is written in one order, and reads back the same.
func FuzzParseSums(f *testing.F) {
	for _, s := range []string{
		"", "\n\n", someSums, "a v1 h1:a=\na v1 h1:b=", "a v1.0.0+x h1:a=\na v1.0.0+y h1:b=\na v1.0.0 h1:c=",
		"a x h1:a=\na y h1:b=\na x/go.mod h1:c=\na x/y/z h1:", "a\u00a0v1 h1:", "a v1 h1:\xff\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := ParseSums("go.sum", data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		text := sums.Encode()
		back, err := ParseSums("go.sum", text)
		if err != nil || !maps.Equal(sums, back) {
			t.Errorf("reads back as %v, %v", back, err)
		}
		for range 4 {
			if !bytes.Equal(back.Encode(), text) {
				t.Fatalf("written in more than one order: %q", text)
			}
		}
		if lines := DiffSums(sums, back); len(lines) != 0 {
			t.Errorf("differs from itself by %q", lines)
		}
	})
}
