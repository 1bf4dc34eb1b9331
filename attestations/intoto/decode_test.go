package intoto

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestDigests(t *testing.T) {
	// The example of digest_set.md.
	const h1 = "h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48="
	if got, err := DirHash(h1); err != nil || got != hash256 {
		t.Errorf("DirHash = %s, %v", got, err)
	}
	if got, err := H1(hash256); err != nil || got != h1 {
		t.Errorf("H1 = %s, %v", got, err)
	}
	const integrity = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
	const empty = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
	if got, err := SHA512(integrity); err != nil || got != empty {
		t.Errorf("SHA512 = %s, %v", got, err)
	}
	for _, s := range []string{
		"", "h1:", h1[3:], "H1:" + h1[3:], "go.mod " + h1, h1[:len(h1)-1], h1 + "\n", h1[:10] + "\n" + h1[10:], h1[:len(h1)-2] + "9=", // spare bits
		"h1:" + hash256, "h2:" + h1[3:], h1 + h1, integrity,
	} {
		if got, err := DirHash(s); !errors.Is(err, ErrDigest) || got != "" {
			t.Errorf("DirHash(%q) = %s, %v, want ErrDigest", s, got, err)
		}
	}
	for _, s := range []string{"", "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", integrity + "?ct=text/plain", integrity + " " + integrity, "sha384-" + integrity[7:], h1} {
		if got, err := SHA512(s); !errors.Is(err, ErrDigest) || got != "" {
			t.Errorf("SHA512(%q) = %s, %v, want ErrDigest", s, got, err)
		}
	}
	for _, s := range []string{"", hash256[1:], hash256 + "00", "x" + hash256[1:]} {
		if got, err := H1(s); !errors.Is(err, ErrDigest) || got != "" {
			t.Errorf("H1(%q) = %s, %v, want ErrDigest", s, got, err)
		}
	}
}

func TestResourceValidate(t *testing.T) {
	for _, r := range []Resource{
		{URI: "pkg:golang/example.org/Beacon@v1.2.0"},
		{Name: "_", Digest: Digests{"gitCommit": commit}},
		{URI: "git+https://example.org/x", Digest: Digests{"gitCommit": hash256}},
		{Digest: Digests{"dirHash": hash256, "sha256": hash256}, MediaType: "application/spdx+json", Annotations: map[string]string{"a": "é"}},
	} {
		if err := r.Validate(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []Resource{
		{},
		{Name: "nothing but a name"},
		{URI: "relative/path"},
		{URI: "//example.org/x"},
		{URI: "https://user:password@example.org/"},
		{URI: "https://Example.org/"},
		{URI: "HTTPS://example.org/"},
		{URI: "https://example.org/a b"},
		{URI: "https://example.org/\u202e"},
		{URI: "pkg:npm/x", DownloadLocation: "x"},
		{URI: "pkg:npm/x", Digest: Digests{"sha1": commit}},
		{URI: "pkg:npm/x", Digest: Digests{"gitCommit": commit[2:]}},
		{URI: "pkg:npm/x", Name: "a\nb"},
		{URI: "pkg:npm/x", Name: "\xff"},
		{URI: "pkg:npm/x", Annotations: map[string]string{"": "a"}},
		{URI: "pkg:npm/x", Annotations: map[string]string{"a": "\x00"}},
	} {
		if err := r.Validate(); err == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

// Types of all kinds, one of which holds itself.
type tree struct {
	Name   string            `json:"name"`
	When   time.Time         `json:"when"`
	Left   *tree             `json:"left,omitempty"`
	Leaves []tree            `json:"leaves"`
	By     map[string]*tree  `json:"by"`
	Any    map[string]any    `json:"any"`
	Raw    []json.RawMessage `json:"raw"`
	Hidden string            `json:"-"`
	Plain  int
}

func TestDecode(t *testing.T) {
	limits := Limits{Size: 1000, Depth: 6, Items: 7}
	for _, text := range []string{
		`{}`,
		`{"name":"a","when":"2026-01-02T03:04:05Z","left":{"leaves":[{"name":"b"}]},"by":{"x":{"Plain":1}},"any":{"Name":null,"x":{"y":1}},"raw":[null,{"a":1}]}`,
	} {
		if err := Decode([]byte(text), new(tree), limits); err != nil {
			t.Errorf("Decode(%s): %v", text, err)
		}
	}
	for _, tt := range []struct {
		text string
		want error
	}{
		{`{"left":{"leaves":[{"Name":"b"}]}}`, ErrUnknownKey},
		{`{"by":{"x":{"plain":1}}}`, ErrUnknownKey},
		{`{"Hidden":""}`, ErrUnknownKey},
		{`{"-":""}`, ErrUnknownKey},
		{`{"left":null}`, ErrValue},
		{`{"leaves":null}`, ErrValue},
		{`{"leaves":[null]}`, ErrValue},
		{`{"by":{"x":null}}`, ErrValue},
		{`{"when":null}`, ErrValue},
		{`{"when":"today"}`, ErrValue},
		{`{"Plain":null}`, ErrValue},
		{`{"Plain":1.0}`, ErrValue},
		{`{"Plain":99999999999999999999}`, ErrValue},
		{`{"by":[]}`, ErrValue},
		{`{"leaves":{"name":"a"}}`, ErrValue},
		{`{"any":{"x":{"y":1,"y":2}}}`, ErrDuplicateKey},
		{`{"raw":[{"y":1,"y":2}]}`, ErrDuplicateKey},
		{`{"any":{"a":[[[[[1]]]]]}}`, ErrTooDeep},
		{`{"any":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1}}`, ErrTooLarge},
		{`{"name":"a",}`, ErrNotJSON},
		{`null`, ErrValue},
		{``, ErrNotJSON},
	} {
		if err := Decode([]byte(tt.text), new(tree), limits); !errors.Is(err, tt.want) {
			t.Errorf("Decode(%s) = %v, want %v", tt.text, err, tt.want)
		}
	}
	if err := Decode([]byte(`1`), new(any), Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("the zero Limits: %v, want ErrTooLarge", err)
	}
	if err := Decode([]byte(`[]`), new(any), Limits{Size: 2}); !errors.Is(err, ErrTooDeep) {
		t.Errorf("no depth: %v, want ErrTooDeep", err)
	}
}

// Whatever Decode accepts as any value, encoding/json reads, and no object of
// it loses a key.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`null`, `[1, "a\\\"\u00e9", {"a": {"b": -1.5e-7}} ]`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, `"\ud83dx"`, `{"":[{}]}`, "\t{\r\n}", `"\\u0041"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{Size: 1 << 16, Depth: 16, Items: 100}
		var v json.RawMessage
		err := Decode(data, &v, limits)
		if err == nil != (json.Valid(data) && check(data, nil, limits) == nil) {
			t.Errorf("Decode: %v; valid: %v; check: %v", err, json.Valid(data), check(data, nil, limits))
		}
		if err != nil {
			return
		}
		again, err := Canonical(v)
		if err != nil {
			t.Fatal(err)
		}
		if colons, seen := count(data, ':'), count(again, ':'); colons != seen {
			t.Errorf("%d keys of %q, %d of %q", colons, data, seen, again)
		}
	})
}

// count counts c outside strings.
func count(data []byte, c byte) (n int) {
	inside := false
	for i := 0; i < len(data); i++ {
		switch {
		case inside && data[i] == '\\':
			i++
		case data[i] == '"':
			inside = !inside
		case !inside && data[i] == c:
			n++
		}
	}
	return n
}
