package intoto

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

const (
	hash256 = "2a1bb6127fb481c60f67692e22285fb306f3c6ffe62075e0ccf674d7c3adcb8f"
	commit  = "d61b27b8395512a1d61b27b8395512a1d61b27b8"
)

func sample() Statement {
	return Statement{
		Type: Type, PredicateType: "https://example.org/predicate/v1",
		Subject:   []Subject{{Name: "a.tar.gz", Digest: Digests{"sha256": hash256, "sha512": hash256 + hash256}}, {Digest: Digests{"sha256": hash256}}},
		Predicate: json.RawMessage(` {"z": 1, "a": {"y": [], "b": [1.50, 1e3, true, null, "<&> \u00e9 \u2028"]}, "B": ""}`),
	}
}

// The one form: sorted keys, numbers as they were, nothing escaped for HTML.
func TestMarshal(t *testing.T) {
	got, err := Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "statement.json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("= %s\nwant %s", got, want)
	}
	s, err := Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Marshal(s); err != nil || string(again) != string(got) {
		t.Errorf("read and written again: %s, %v", again, err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	deep := func(n int) json.RawMessage {
		return json.RawMessage(`{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`)
	}
	for _, tt := range []struct {
		name string
		edit func(*Statement)
		want error
	}{
		{"no type", func(s *Statement) { s.Type = "" }, ErrType},
		{"no subject", func(s *Statement) { s.Subject = nil }, ErrNoSubject},
		{"no predicate", func(s *Statement) { s.Predicate = nil }, ErrStatement},
		{"predicate that is no JSON", func(s *Statement) { s.Predicate = json.RawMessage(`{"a":}`) }, ErrNotJSON},
		{"key twice", func(s *Statement) { s.Predicate = json.RawMessage(`{"a":[{"b":1,"\u0062":2}]}`) }, ErrDuplicateKey},
		{"deeper than Parse reads", func(s *Statement) { s.Predicate = deep(31) }, ErrTooDeep},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sample()
			tt.edit(&s)
			if data, err := Marshal(s); !errors.Is(err, tt.want) || !errors.Is(err, ErrStatement) || data != nil {
				t.Errorf("= %s, %v, want %v", data, err, tt.want)
			}
		})
	}
	s := sample()
	s.Predicate = deep(30)
	data, err := Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(data); err != nil {
		t.Errorf("what Marshal writes Parse refuses: %v", err)
	}
}

const good = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"` + hash256 + `"}}],"predicateType":"https://example.org/v1","predicate":{"result":"PASSED","row":1}}`

func TestParse(t *testing.T) {
	for _, text := range []string{good, " \n" + good + "\n", strings.Replace(good, `"row":1`, `"row":null`, 1), strings.Replace(good, `"name":"a",`, ``, 1), strings.Replace(good, `"a"`, `"\ud83d\ude00"`, 1)} {
		s, err := Parse([]byte(text))
		if err != nil || s.Type != Type || s.PredicateType != "https://example.org/v1" || s.Subject[0].Digest["sha256"] != hash256 {
			t.Errorf("Parse(%s) = %+v, %v", text, s, err)
		}
	}
}

// Each edit of a good statement makes it one that is refused, for its own
// reason.
func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"nothing", good, ``, ErrNotJSON},
		{"white space", good, " \n", ErrNotJSON},
		{"no object", good, `[]`, ErrValue},
		{"cut off", `}}`, ``, ErrNotJSON},
		{"something behind it", `"row":1}}`, `"row":1}}{}`, ErrNotJSON},
		{"byte order mark", `{"_type"`, "\ufeff" + `{"_type"`, ErrNotJSON},
		{"not UTF-8", `"name":"a"`, "\"name\":\"a\xff\"", ErrNotJSON},
		{"half a surrogate pair", `"PASSED"`, `"\ud800"`, ErrNotJSON},
		{"the other half", `"PASSED"`, `"\udc00"`, ErrNotJSON},
		{"half a surrogate pair, then a letter", `"PASSED"`, `"\ud800\u0041"`, ErrNotJSON},
		{"half a surrogate pair as a key", `"row"`, `"\ud800"`, ErrNotJSON},
		{"type twice", `{"_type"`, `{"_type":"x","_type"`, ErrDuplicateKey},
		{"predicate twice", `"predicate":{`, `"predicate":{},"predicate":{`, ErrDuplicateKey},
		{"predicate twice, once escaped", `"predicate":{`, `"p\u0072edicate":{},"predicate":{`, ErrDuplicateKey},
		{"key twice inside the predicate", `"row":1`, `"row":1,"result":"FAILED"`, ErrDuplicateKey},
		{"key twice among many", `"row":1`, `"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"b":2`, ErrDuplicateKey},
		{"digest twice", `{"sha256"`, `{"sha256":"x","sha256"`, ErrDuplicateKey},
		{"unknown key", `"predicate":{`, `"extra":1,"predicate":{`, ErrUnknownKey},
		{"key in other capitals", `"predicate":{`, `"Predicate":{`, ErrUnknownKey},
		{"key in other capitals beside it", `"predicate":{`, `"PREDICATE":{},"predicate":{`, ErrUnknownKey},
		{"key with a letter that folds to another", `"subject":`, `"ſubject":`, ErrUnknownKey},
		{"unknown key of a subject", `"name":"a"`, `"uri":"pkg:npm/a","name":"a"`, ErrUnknownKey},
		{"null for subjects", `[{"name":"a","digest":{"sha256":"` + hash256 + `"}}]`, `null`, ErrValue},
		{"null for a subject", `[{`, `[null,{`, ErrValue},
		{"null for a name", `"name":"a"`, `"name":null`, ErrValue},
		{"null for a digest", `{"sha256":`, `{"sha512":null,"sha256":`, ErrValue},
		{"number for a name", `"name":"a"`, `"name":1`, ErrValue},
		{"object for subjects", `[{"name":"a","digest":{"sha256":"` + hash256 + `"}}]`, `{"name":"a"}`, ErrValue},
		{"other version", `Statement/v1"`, `Statement/v0.1"`, ErrType},
		{"no type", `"_type":"https://in-toto.io/Statement/v1",`, ``, ErrType},
		{"relative predicate type", `"https://example.org/v1"`, `"example.org/v1"`, ErrStatement},
		{"predicate type with a host in capitals", `"https://example.org/v1"`, `"https://Example.org/v1"`, ErrStatement},
		{"no predicate type", `"predicateType":"https://example.org/v1",`, ``, ErrStatement},
		{"no subjects", `"subject":[{"name":"a","digest":{"sha256":"` + hash256 + `"}}],`, ``, ErrNoSubject},
		{"empty subjects", `[{"name":"a","digest":{"sha256":"` + hash256 + `"}}]`, `[]`, ErrNoSubject},
		{"subject without digests", `,"digest":{"sha256":"` + hash256 + `"}`, ``, ErrNoSubject},
		{"subject by another digest", `"sha256":"` + hash256, `"sha512":"` + hash256 + hash256, ErrNoSubject},
		{"one subject of two without", `}],`, `},{"name":"b","digest":{}}],`, ErrNoSubject},
		{"short digest", hash256, hash256[:62], ErrDigest},
		{"digest in capitals", hash256, strings.ToUpper(hash256), ErrDigest},
		{"digest with its algorithm", hash256, "sha256:" + hash256, ErrDigest},
		{"algorithm that is not known", `{"sha256"`, `{"md5":"d41d8cd98f00b204e9800998ecf8427e","sha256"`, ErrDigest},
		{"name twice", `}],`, `},{"name":"a","digest":{"sha256":"` + hash256 + `"}}],`, ErrStatement},
		{"name that moves the cursor", `"name":"a"`, `"name":"\u001b[2K"`, ErrStatement},
		{"no predicate", `,"predicate":{"result":"PASSED","row":1}`, ``, ErrStatement},
		{"null for the predicate", `{"result":"PASSED","row":1}`, `null`, ErrStatement},
		{"list for the predicate", `{"result":"PASSED","row":1}`, `[]`, ErrStatement},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := strings.Replace(good, tt.old, tt.new, 1)
			if broken == good {
				t.Fatal("the edit changes nothing")
			}
			s, err := Parse([]byte(broken))
			if !errors.Is(err, tt.want) || !errors.Is(err, ErrStatement) || s.Type != "" || s.Predicate != nil {
				t.Errorf("= %+v, %v, want %v", s, err, tt.want)
			}
			if err != nil && len(err.Error()) > 600 {
				t.Errorf("too much is said: %v", err)
			}
		})
	}
}

// What is too large is refused before anything is made of it.
func TestParseBounds(t *testing.T) {
	nested := func(open, shut string, n int) string {
		return strings.Replace(good, `"row":1`, `"row":`+strings.Repeat(open, n)+"1"+strings.Repeat(shut, n), 1)
	}
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"size", strings.Repeat(" ", statementLimits.Size) + good, ErrTooLarge},
		{"subjects", strings.Replace(good, `[{`, `[`+strings.Repeat(`{"digest":{"sha256":"`+hash256+`"}},`, MaxSubjects)+`{`, 1), ErrTooLarge},
		{"elements", strings.Replace(good, `"row":1`, `"row":[`+strings.Repeat("1,", statementLimits.Items)+`1]`, 1), ErrTooLarge},
		{"lists", nested("[", "]", 31), ErrTooDeep},
		{"objects", nested(`{"a":`, "}", 31), ErrTooDeep},
		{"more lists than JSON may have", nested("[", "]", 1<<20), ErrNotJSON},
		{"lists that never end", strings.Repeat("[", 1<<24), ErrNotJSON},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.text)); !errors.Is(err, tt.want) || !errors.Is(err, ErrStatement) {
				t.Errorf("= %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := Parse([]byte(nested("[", "]", 30))); err != nil {
		t.Errorf("at the bound: %v", err)
	}
}

// What Parse accepts, encoding/json reads the same way, and it has one form.
func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	data, err := Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, edit := range []string{`"row":1e400`, `"row":-0`, `"ro\u0077":"\ud83d\ude00"`, `"row":[[],{},[{}]]`, `"":null`, `"row":1,"\u0072ow":2`} {
		f.Add([]byte(strings.Replace(good, `"row":1`, edit, 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrStatement) || s.Predicate != nil {
				t.Errorf("refused with %+v, %v", s, err)
			}
			return
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(data, &keys); err != nil || len(keys) != 4 {
			t.Errorf("it has %d keys, %v", len(keys), err)
		}
		form, err := Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(form)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := Marshal(again); err != nil || string(second) != string(form) {
			t.Errorf("%s is written as %s, %v", form, second, err)
		}
	})
}
