package policy

import (
	"crypto"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"palisade/attestations/bundle"
)

func TestRebuilders(t *testing.T) {
	p := parse(t, sample(t))
	r := p.Rebuilders()
	if r.Count != 2 || len(r.Keys) != 2 || len(r.Identities) != 2 || r.Given || !r.Log || !r.Timestamp {
		t.Errorf("%+v", r)
	}
	key := func(i int) Rebuilder { return byKey(t, r.Keys[i]) }
	identity := func(subject string) Rebuilder {
		return Rebuilder{bundle.Signer{Issuer: "https://issuer.example", Subject: subject}, "key of a certificate of " + subject}
	}
	with := func(by Rebuilder, key string) Rebuilder {
		by.Key = key
		return by
	}
	for _, tt := range []struct {
		name string
		by   []Rebuilder
		ok   bool
	}{
		{"nobody", nil, false},
		{"one", []Rebuilder{key(0)}, false},
		{"two", []Rebuilder{key(1), key(0)}, true},
		{"one, twice", []Rebuilder{key(0), key(0)}, false},
		{"the signer of the release", []Rebuilder{key(0), byKey(t, p.Signers().Keys[0])}, false},
		{"a key and an identity", []Rebuilder{key(0), identity("https://rebuild.example/run@v1")}, true},
		{"a key, and an identity that holds it", []Rebuilder{key(0), with(identity("https://rebuild.example/run@v1"), key(0).Key)}, false},
		{"an identity that holds a key, and that key", []Rebuilder{with(identity("https://rebuild.example/run@v1"), key(0).Key), key(0)}, false},
		{"an identity that holds a key, and another key", []Rebuilder{with(identity("https://rebuild.example/run@v1"), key(0).Key), key(1)}, true},
		{"an identity that holds one key, and another", []Rebuilder{
			with(identity("https://rebuild.example/run@v1"), key(0).Key), with(identity("https://rebuild.example/run@v2"), key(1).Key), key(0), key(1)}, false},
		{"two of whose keys nothing is known", []Rebuilder{with(key(0), ""), with(key(1), "")}, false},
		{"a pattern, by two subjects", []Rebuilder{identity("https://rebuild.example/run@v1"), identity("https://rebuild.example/run@v2")}, false},
		{"a subject that two identities name", []Rebuilder{identity("https://rebuild.example/run@v7")}, false},
		{"a subject that two identities name, and another that one does", []Rebuilder{identity("https://rebuild.example/run@v1"), identity("https://rebuild.example/run@v7")}, false},
		{"longer than the pattern", []Rebuilder{key(0), identity("https://rebuild.example/run@v1.attacker.example")}, false},
		{"another issuer", []Rebuilder{key(0), {bundle.Signer{Issuer: "https://issuer.attacker.example", Subject: "https://rebuild.example/run@v1"}, "x"}}, false},
		{"a key that says it is an identity", []Rebuilder{key(0), {bundle.Signer{KeyID: "x", Issuer: "https://issuer.example", Subject: "https://rebuild.example/run@v1"}, "x"}}, false},
		{"without a name", []Rebuilder{key(0), {}}, false},
	} {
		if err := p.JudgeRebuilders(tt.by); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrRebuilders) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// What is handed out is a copy.
	r.Keys[0], r.Identities[0].Pattern = nil, "x"
	if p.Rebuilders().Keys[0] == nil || p.Rebuilders().Identities[0].Pattern == "x" {
		t.Error("the policy was changed from outside")
	}
	text := sample(t)
	from, to := strings.Index(text, "rebuilders:"), strings.Index(text, "builders: [")
	none := parse(t, text[:from]+"rebuilders: not-required\n"+text[to:])
	if r := none.Rebuilders(); r.Count != 0 || r.Given || len(r.Keys)+len(r.Identities) > 0 {
		t.Errorf("not demanded: %+v", r)
	}
	if err := none.JudgeRebuilders(nil); err != nil {
		t.Error(err)
	}
}

func byKey(t *testing.T, key crypto.PublicKey) Rebuilder {
	t.Helper()
	id, err := bundle.KeyID(key)
	if err != nil {
		t.Fatal(err)
	}
	return Rebuilder{bundle.Signer{KeyID: id}, id}
}

// Whoever may be one and the same counts once, in whatever order he is named and
// seen.
func TestRebuildersOnce(t *testing.T) {
	text := sample(t)
	from, to := strings.Index(text, "rebuilders:"), strings.Index(text, "builders: [")
	const a, b = "https://a.example", "https://b.example"
	exact := func(issuer, subject string) string {
		return "    - issuer: " + issuer + "\n      subject: " + subject + "\n      repository: none\n"
	}
	pattern := func(issuer, subject string) string {
		return "    - issuer: " + issuer + "\n      subject-pattern: " + subject + "\n      repository: none\n"
	}
	by := func(issuer, subject, key string) Rebuilder {
		return Rebuilder{bundle.Signer{Issuer: issuer, Subject: subject}, key}
	}
	for _, tt := range []struct {
		name       string
		identities []string
		named      int
		by         []Rebuilder
		want       int
	}{
		{"two", []string{exact(a, "ali@x.example"), exact(a, "eve@x.example")}, 2, []Rebuilder{by(a, "ali@x.example", "1"), by(a, "eve@x.example", "2")}, 2},
		{"two, with one key", []string{exact(a, "ali@x.example"), exact(a, "eve@x.example")}, 2, []Rebuilder{by(a, "ali@x.example", "1"), by(a, "eve@x.example", "1")}, 1},
		{"two, of whom one has each key", []string{exact(a, "ali@x.example"), exact(a, "eve@x.example")}, 2, []Rebuilder{by(a, "ali@x.example", "1"), by(a, "eve@x.example", "2"), by(a, "ali@x.example", "2")}, 1},
		{"one, by two issuers", []string{exact(a, "ali@x.example"), exact(b, "ali@x.example")}, 1, []Rebuilder{by(a, "ali@x.example", "1"), by(b, "ali@x.example", "2")}, 1},
		{"one, by two issuers and in capitals", []string{exact(a, "ali@x.example"), exact(b, "Ali@X.example")}, 1, []Rebuilder{by(a, "ali@x.example", "1"), by(b, "Ali@X.example", "2")}, 1},
		{"one, by two issuers and two patterns", []string{pattern(a, "^[a-z]+@x\\.example$"), pattern(b, "^[a-z]+@(x|y)\\.example$")}, 2, []Rebuilder{by(a, "ali@x.example", "1"), by(b, "ali@x.example", "2")}, 1},
		{"two, by two issuers and two patterns", []string{pattern(a, "^[a-z]+@x\\.example$"), pattern(b, "^[a-z]+@y\\.example$")}, 2, []Rebuilder{by(a, "ali@x.example", "1"), by(b, "eve@y.example", "2")}, 2},
		{"a pattern by two issuers", []string{pattern(a, "^[a-z]+@x\\.example$"), pattern(b, "^[a-z]+@x\\.example$")}, 1, []Rebuilder{by(a, "ali@x.example", "1"), by(b, "eve@x.example", "2")}, 1},
		{"one who is in the pattern of another", []string{exact(a, "run@v7.example"), pattern(a, "^run@v[0-9]\\.example$")}, 1, []Rebuilder{by(a, "run@v7.example", "1"), by(a, "run@v1.example", "2")}, 1},
		{"the same, the other way round", []string{pattern(a, "^run@v[0-9]\\.example$"), exact(b, "run@v7.example")}, 1, []Rebuilder{by(a, "run@v1.example", "1"), by(b, "run@v7.example", "2")}, 1},
		{"one, for two repositories", []string{exact(a, "ali@x.example"), strings.Replace(exact(a, "ali@x.example"), "none", "https://a.example/r", 1)}, 1, []Rebuilder{by(a, "ali@x.example", "1"), by(a, "ali@x.example", "2")}, 1},
		{"two patterns that one is in", []string{pattern(a, "^run@(a|b)\\.example$"), pattern(a, "^run@(b|c)\\.example$")}, 2, []Rebuilder{by(a, "run@a.example", "1"), by(a, "run@c.example", "2"), by(a, "run@b.example", "3")}, 1},
	} {
		demands := func(count int) (Policy, error) {
			return Parse([]byte(text[:from] + "rebuilders:\n  count: " + strconv.Itoa(count) + "\n  keys: none\n  identities:\n" + strings.Join(tt.identities, "") + text[to:]))
		}
		if _, err := demands(tt.named + 1); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), "from 1 to "+strconv.Itoa(tt.named)) {
			t.Errorf("%s: of more than %d: %v", tt.name, tt.named, err)
		}
		p, err := demands(tt.named)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for range 2 {
			if got := p.Rebuilders().distinct(tt.by); got != tt.want {
				t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
			}
			if err := p.JudgeRebuilders(tt.by); (err == nil) != (tt.want >= tt.named) {
				t.Errorf("%s: %v", tt.name, err)
			}
			slices.Reverse(tt.by)
		}
	}
}

func TestRebuildersRefused(t *testing.T) {
	text, many := sample(t), ""
	for i := range maxRebuilders {
		many += "    - issuer: https://issuer.example\n      subject: n" + strconv.Itoa(i) + "@x.example\n      repository: none\n"
	}
	for _, tt := range []struct{ name, old, new, says string }{
		{"another word", "rebuilders:\n  count: 2\n", "rebuilders: any\nx:\n  count: 2\n", "unknown field"},
		{"more than are named", "count: 2", "count: 4", "from 1 to 3"},
		{"none", "count: 2", "count: 0", "from 1 to 3"},
		{"fewer than none", "count: 2", "count: -1", "from 1 to 3"},
		{"a number in another form", "count: 2", "count: 02", "from 1 to 3"},
		{"a number in words", "count: 2", "count: two", "from 1 to 3"},
		{"half a rebuilder", "count: 2", "count: 1.5", "from 1 to 3"},
		{"a field more", "count: 2", "count: 2\n  names: [x]", "unknown field"},
		{"keys that are given", "count: 2\n  keys:\n", "count: 2\n  keys:\n    - given\n", "given is none of them"},
		{"a key twice, written in two ways", "count: 2\n  keys:\n", "count: 2\n  keys:\n    - |\n" + strings.Join([]string{
			"      -----BEGIN PUBLIC KEY-----", "      MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJ/TbyB9scKnD+r9JvS9rJtXct2eqBtX9YTei", "      M5RUBl4S9a3X6sAIkEzuJQsIGRrLDsD6OXouY3ST7G0r0bepJg==", "      -----END PUBLIC KEY-----\n"}, "\n"), "key is there twice"},
		{"an identity twice", "      subject: https://rebuild.example/run@v7\n      repository: none", "      subject-pattern: ^https://rebuild\\.example/run@v[0-9]+$\n      repository: https://rebuild.example/palisade", "identity is there twice"},
		{"more than are held against each other", "  identities:\n    - issuer: https://issuer.example\n      subject-pattern: ^https://rebuild", "  identities:\n" + many + "    - issuer: https://issuer.example\n      subject-pattern: ^https://rebuild", "at most 64"},
		{"a pattern of anybody", `^https://rebuild\.example/run@v[0-9]+$`, "^https://[!-~]+$", "of anybody"},
	} {
		changed := strings.Replace(text, tt.old, tt.new, 1)
		if changed == text {
			t.Fatalf("%s: nothing to replace", tt.name)
		}
		p, err := Parse([]byte(changed))
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
		acceptsNothing(t, p)
	}
	from, to := strings.Index(text, "rebuilders:"), strings.Index(text, "builders: [")
	for _, said := range []string{"any", "none", "required", "2", "[]", "{}", "", "{count: 1, keys: none, identities: none}"} {
		if _, err := Parse([]byte(text[:from] + "rebuilders: " + said + "\n" + text[to:])); !errors.Is(err, ErrPolicy) {
			t.Errorf("rebuilders: %s: %v", said, err)
		}
	}
}
