package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
)

func sample(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "sample.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t testing.TB, text string) Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse(t *testing.T) {
	text := sample(t)
	p := parse(t, text)
	if p.Name() != "sample" || p.Digest() != artifact.DigestBytes([]byte(text)) || (Policy{}).URI() != "" {
		t.Errorf("name %q, digest %s", p.Name(), p.Digest())
	}
	// As "openssl dgst -sha256 -binary FILE | basenc --base64url" prints it, without =.
	sum := sha256.Sum256([]byte(text))
	if want := "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(sum[:]); p.URI() != want {
		t.Errorf("URI %s, want %s", p.URI(), want)
	}
	s := p.Signers()
	if !s.Given || len(s.Keys) != 1 || len(s.Identities) != 2 || !s.Log || !s.Timestamp {
		t.Errorf("signers: %+v", s)
	}
	if !p.RequiresWorkflow() || !p.RequiresFreshness() || p.BuildLevel() != 2 {
		t.Errorf("workflow %v, freshness %v, level %d", p.RequiresWorkflow(), p.RequiresFreshness(), p.BuildLevel())
	}
	mild := parse(t, strings.NewReplacer("workflow: required", "workflow: not-required", "freshness: required", "freshness: not-required").Replace(text))
	if mild.RequiresWorkflow() || mild.RequiresFreshness() {
		t.Error("what is not required is")
	}
	for a, want := range map[Attestation]bool{SPDX: true, Provenance: true, TestResult: true, VEX: true, "other": false} {
		if p.Requires(a) != want {
			t.Errorf("Requires(%s) = %v", a, !want)
		}
	}
}

// No field may be left out or be empty, at any depth.
func TestNothingIsLeftOut(t *testing.T) {
	text, n := sample(t), 0
	for i := 0; ; i++ {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		at := i
		m, k := mapping(&doc, &at)
		if m == nil {
			break
		}
		key, value := m.Content[k], *m.Content[k+1]
		try := func(what string) {
			n++
			data, err := yaml.Marshal(&doc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(data); !errors.Is(err, ErrPolicy) {
				t.Errorf("%s on line %d %s: %v", key.Value, key.Line, what, err)
			}
		}
		for what, node := range map[string]yaml.Node{
			"null":            {Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"},
			"nothing":         {Kind: yaml.ScalarNode, Tag: "!!null"},
			"empty":           {Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle},
			"false":           {Kind: yaml.ScalarNode, Value: "false"},
			"no list":         {Kind: yaml.SequenceNode},
			"no fields":       {Kind: yaml.MappingNode},
			"a list of empty": {Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle}}},
		} {
			if strings.Contains("component variant name subject", key.Value) && what == "false" {
				continue // a word like another
			}
			*m.Content[k+1] = node
			try("is " + what)
		}
		*m.Content[k+1] = value
		m.Content = append(append([]*yaml.Node{}, m.Content[:k]...), m.Content[k+2:]...)
		try("is left out")
	}
	if n < 100 {
		t.Errorf("only %d things tried", n)
	}
}

// mapping finds the mapping and the place of the key that is the at-th.
func mapping(n *yaml.Node, at *int) (*yaml.Node, int) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if *at == 0 {
				return n, i
			}
			*at--
		}
		if m, k := mapping(c, at); m != nil {
			return m, k
		}
	}
	return nil, 0
}

func TestParseRefuses(t *testing.T) {
	text := sample(t)
	for _, tt := range []struct{ name, old, new, says string }{
		{"unknown field", "name: sample", "name: sample\nextra: 1", `line 3: unknown field "extra"`},
		{"unknown field inside", "    variant: hardened", "    variant: hardened\n    extra: 1", "unknown field"},
		{"field twice", "name: sample", "name: sample\nname: other", "twice"},
		{"field in other capitals", "name: sample", "Name: sample", "unknown field"},
		{"merge key", "name: sample", "<<: {name: sample}", "unknown field"},
		{"anchor", "name: sample", "name: &a sample", "aliases"},
		{"tag", "name: sample", "name: !!str sample", "tags"},
		{"space behind a word", "name: sample", "name: 'sample '", "a word is wanted"},
		{"second document", "format:", "---\n{}\n---\nformat:", "follows"},
		{"another format", "palisade.policy.v1", "palisade.policy.v2", "palisade.policy.v1"},
		{"word that is not known", "hermetic: required", "hermetic: yes", "not one of required, promised, not-required"},
		{"a list where a word stands", "hermetic: required", "hermetic: [required]", "a word is wanted"},
		{"no provenance", "[spdx, provenance, test-result, vex]", "[spdx, test-result, vex]", "provenance must be among them"},
		{"attestation twice", "[spdx, provenance, test-result, vex]", "[spdx, provenance, spdx]", "twice"},
		{"audit without a result", "[spdx, provenance, test-result, vex]", "[spdx, provenance, vex]", "needs test-result"},
		{"vulnerabilities without a statement", "[spdx, provenance, test-result, vex]", "[spdx, provenance, test-result]", "needs vex"},
		{"age of what is not looked at", "vulnerabilities: none-reachable", "vulnerabilities: any", "not looked at"},
		{"vulnerabilities that are not known", "vulnerabilities: none-reachable", "vulnerabilities: none", "not one of none-reachable, any"},
		{"data of nothing", "vulnerability-data: 720h", "vulnerability-data: 0s", "neither unlimited nor"},
		{"level that is none", "build-level: 2", "build-level: 4", "not one of 1, 2, 3"},
		{"freshness that is not known", "freshness: required", "freshness: true", "not one of required, not-required"},
		{"age without a time", "timestamp: required", "timestamp: not-required", "cannot be told"},
		{"age of nothing", "maximum-age: 720h", "maximum-age: 0s", "neither unlimited nor"},
		{"negative age", "maximum-age: 720h", "maximum-age: -720h", "neither unlimited nor"},
		{"pattern that is not anchored", "^https://ci", "https://ci", "not anchored"},
		{"pattern with any character", `\.example/`, `.example/`, "any character"},
		{"pattern with any ending", "[0-9]+$", ".*$", "any character"},
		{"pattern with a negated class", "[0-9]+$", "[^/]+$", "negated"},
		{"pattern with two ends", "[0-9]+$", "[0-9]+$|x$", "anchor in its middle"},
		{"pattern that closes a group", "[0-9]+$", "[0-9]+)|(x$", "unexpected"},
		{"pattern and subject", "      subject-pattern", "      subject: x\n      subject-pattern", "either subject or subject-pattern"},
		{"mark of a field that may be left out", "      subject-pattern", "      subject?: x\n      subject-pattern", "unknown field"},
		{"private key", "PUBLIC KEY", "PRIVATE KEY", "PEM block"},
		{"key that is none", "MFkw", "MFkx", "public key"},
		{"builder that is no address", "[https://builder.example/v1]", "[any]", "no URI"},
		{"version that is none", "minimum-version: 3.15.0-palisade.1", "minimum-version: v3.15.0", "neither any nor"},
		{"version that is half of one", "minimum-upstream: v0.315.0", "minimum-upstream: v0.315", "neither any nor"},
		{"digest of another kind", "digest: sha256:", "digest: sha512:", "sha256"},
		{"series twice", "  - component: prometheus\n    variant: vanilla", "  - component: prometheus\n    variant: hardened", "twice"},
		{"pattern of everybody who writes in ASCII", `^https://ci\.example/release@v[0-9]+$`, "^[!-~]+$", "of anybody"},
		{"pattern of every address", `^https://ci\.example/release@v[0-9]+$`, "^https://[!-~]+$", "of anybody"},
		{"checks that are none", "checks: any", "checks: some", "neither any nor a digest"},
		{"patches that are not known", "patches: none", "patches: all", "not one of none, some, any"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.ReplaceAll(text, tt.old, tt.new)
			if changed == text {
				t.Fatalf("nothing to replace: %q", tt.old)
			}
			p, err := Parse([]byte(changed))
			if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("= %v, want %q", err, tt.says)
			}
			acceptsNothing(t, p)
		})
	}
	for name, data := range map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "too large": strings.Repeat("#\n", MaxSize),
		"deep": strings.Repeat("[", 10_000), "binary": "\x00",
		"laughing": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
	} {
		if _, err := Parse([]byte(data)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	acceptsNothing(t, Policy{})
}

// acceptsNothing is what the zero Policy does.
func acceptsNothing(t *testing.T, p Policy) {
	t.Helper()
	s := p.Signers()
	if s.Given || len(s.Keys)+len(s.Identities) > 0 || !s.Log || !s.Timestamp || !p.Requires("anything") || p.Name() != "" || !p.Digest().IsZero() {
		t.Errorf("it trusts somebody: %+v", s)
	}
	if !p.RequiresWorkflow() || !p.RequiresFreshness() || p.BuildLevel() != 0 {
		t.Errorf("workflow %v, freshness %v, level %d", p.RequiresWorkflow(), p.RequiresFreshness(), p.BuildLevel())
	}
	if r := p.Rebuilders(); r.Count < 1 || r.Given || len(r.Keys)+len(r.Identities) > 0 {
		t.Errorf("it wants nobody to rebuild: %+v", r)
	}
	for _, err := range []error{p.Judge(Claim{}), p.Judge(good()), p.JudgeAudit("prometheus", "hardened", Audit{Ran: true, Passed: true}), p.JudgeTime(time.Now(), time.Now()), p.JudgeRebuilders(nil)} {
		if !errors.Is(err, ErrPolicy) {
			t.Errorf("it accepts: %v", err)
		}
	}
}

func digest(c byte) artifact.Digest {
	d, _ := artifact.ParseDigest("sha256:" + strings.Repeat(string(c), 64))
	return d
}

// good is a claim that the sample accepts.
func good() Claim {
	return Claim{
		Builder: "https://builder.example/v1", BuildType: "https://build.example/v1", Hermetic: Observed, CleanTree: true,
		Component: "prometheus", Variant: "hardened", Version: "3.15.0-palisade.1",
		UpstreamModule: "github.com/prometheus/prometheus", UpstreamVersion: "v0.315.0",
		Patched: []Series{{"github.com/prometheus/prometheus", "v0.315.0", digest('a')}, {"github.com/prometheus/exporter-toolkit", "v0.20.0", digest('b')}},
	}
}

func TestJudge(t *testing.T) {
	p := parse(t, sample(t))
	for _, tt := range []struct {
		name   string
		change func(c *Claim)
		want   error
	}{
		{"good", func(*Claim) {}, nil},
		{"newer", func(c *Claim) { c.Version, c.UpstreamVersion = "3.15.1-palisade.1", "v0.315.1" }, nil},
		{"nothing at all", func(c *Claim) { *c = Claim{} }, ErrArtifact},
		{"another builder", func(c *Claim) { c.Builder += "0" }, ErrBuilder},
		{"another build type", func(c *Claim) { c.BuildType = "" }, ErrBuildType},
		{"not hermetic", func(c *Claim) { c.Hermetic = NotHermetic }, ErrHermetic},
		{"hermetic by promise", func(c *Claim) { c.Hermetic, c.Promise = Promised, "a worker of buildkit" }, ErrHermetic},
		{"changed checkout", func(c *Claim) { c.CleanTree = false }, ErrCleanTree},
		{"another component", func(c *Claim) { c.Component = "alertmanager" }, ErrArtifact},
		{"another variant", func(c *Claim) { c.Variant = "fips" }, ErrArtifact},
		{"another module", func(c *Claim) { c.UpstreamModule += "/v2" }, ErrUpstream},
		{"older upstream", func(c *Claim) { c.UpstreamVersion = "v0.314.9" }, ErrOutdated},
		{"candidate of upstream", func(c *Claim) { c.UpstreamVersion = "v0.315.0-rc.1" }, ErrOutdated},
		{"upstream without an order", func(c *Claim) { c.UpstreamVersion = "main" }, ErrOutdated},
		{"older of ours", func(c *Claim) { c.Version = "3.15.0-palisade.0" }, ErrOutdated},
		{"no version", func(c *Claim) { c.Version = "" }, ErrOutdated},
		{"no patches", func(c *Claim) { c.Patched = nil }, ErrPatches},
		{"a series less", func(c *Claim) { c.Patched = c.Patched[:1] }, ErrPatches},
		{"another series", func(c *Claim) { c.Patched[0].Digest = digest('c') }, ErrPatches},
		{"of another version", func(c *Claim) { c.Patched[0].Version = "v0.315.1" }, ErrPatches},
		{"a series more", func(c *Claim) { c.Patched = append(c.Patched, Series{"example.org/x", "v1.0.0", digest('c')}) }, ErrPatches},
		{"a series twice", func(c *Claim) { c.Patched = append(c.Patched, c.Patched[0]) }, ErrPatches},
		{"vanilla", func(c *Claim) { c.Variant, c.Version, c.Patched = "vanilla", "3.15.0-vanilla", nil }, nil},
		{"patched vanilla", func(c *Claim) { c.Variant, c.Version = "vanilla", "3.15.0-vanilla" }, ErrPatches},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			err := p.Judge(c)
			if !errors.Is(err, tt.want) {
				t.Fatalf("= %v, want %v", err, tt.want)
			}
			if c.Component != "" && err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("it is refused for more than one reason: %v", err)
			}
		})
	}
}

func TestPatchesByWord(t *testing.T) {
	one := []Series{{"example.org/x", "v1.0.0", digest('c')}}
	for _, tt := range []struct {
		word    string
		patched []Series
		ok      bool
	}{
		{"none", nil, true}, {"none", one, false}, {"some", nil, false}, {"some", one, true}, {"any", nil, true}, {"any", one, true},
	} {
		p := parse(t, strings.Replace(sample(t), "patches: none", "patches: "+tt.word, 1))
		c := good()
		c.Variant, c.Version, c.Patched = "vanilla", "3.15.0-vanilla", tt.patched
		if err := p.Judge(c); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrPatches) {
			t.Errorf("%s of %d series: %v", tt.word, len(tt.patched), err)
		}
	}
}

func TestJudgeTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	limited, unlimited := parse(t, sample(t)), parse(t, strings.Replace(sample(t), "720h", "unlimited", 1))
	for _, tt := range []struct {
		p      Policy
		signed time.Time
		want   error
	}{
		{limited, now.Add(-719 * time.Hour), nil}, {limited, now.Add(-721 * time.Hour), ErrTooOld}, {limited, time.Time{}, ErrNoTime},
		{unlimited, time.Time{}, nil}, {unlimited, now.Add(-9000 * time.Hour), nil},
		{limited, now.Add(59 * time.Minute), nil}, {limited, now.Add(61 * time.Minute), ErrClock},
	} {
		if err := tt.p.JudgeTime(tt.signed, now); !errors.Is(err, tt.want) {
			t.Errorf("signed %s: %v, want %v", tt.signed, err, tt.want)
		}
	}
}

// What a policy accepts as a pattern, package bundle matches whole.
func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		ok      bool
	}{
		{`^https://s\.example/(a|b)$`, true},
		{`^https://s\.example/v[0-9]+$`, true},
		{`^[a-z]+@example\.org$`, true},
		{`a$`, false}, {`^a`, false}, {`^$`, false}, {`^a*$`, false}, {`^(a|)$`, false}, {`^a?$`, false},
		{`^.*$`, false}, {`^(?s).$`, false}, {`^\D$`, false}, {`^\PL$`, false}, {`^[^/]+$`, false},
		{`^(?i)mark$`, false}, {`^(?i)[k]$`, false}, {`^a$|^b$`, false}, {`^a\z$`, false}, {`^a)|(?:b$`, false},
	} {
		err := checkPattern(tt.pattern)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.pattern, err)
		}
		if err == nil {
			if err := (bundle.Identity{Issuer: "https://i.example", SubjectPattern: tt.pattern, Repository: bundle.NoRepository}).Validate(); err != nil {
				t.Errorf("%s is refused later: %v", tt.pattern, err)
			}
		}
	}
}

func TestSeriesDigest(t *testing.T) {
	a, b := artifact.PatchFile{Name: "x/v1/0001-a.patch", Digest: digest('a')}, artifact.PatchFile{Name: "x/v1/0002-b.patch", Digest: digest('b')}
	text := fmt.Sprintf("%s  %s\n%s  %s\n", digest('a').Hex(), a.Name, digest('b').Hex(), b.Name)
	if got := SeriesDigest([]artifact.PatchFile{a, b}); got != artifact.DigestBytes([]byte(text)) {
		t.Errorf("= %s", got)
	}
	if SeriesDigest([]artifact.PatchFile{a, b}) == SeriesDigest([]artifact.PatchFile{b, a}) {
		t.Error("the order does not matter")
	}
}

// Whatever is read trusts somebody in particular, and accepts no empty claim.
func FuzzParse(f *testing.F) {
	text := sample(f)
	f.Add([]byte(text))
	f.Add([]byte(strings.Replace(text, "[given]", "none", 1)))
	f.Add([]byte(strings.Replace(text, "count: 2", "count: 02", 1)))
	f.Add([]byte("format: palisade.policy.v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Errorf("refused with %v", err)
			}
			acceptsNothing(t, p)
			return
		}
		s := p.Signers()
		if p.Name() == "" || p.Digest().IsZero() || !p.Requires(Provenance) || !s.Given && len(s.Keys)+len(s.Identities) == 0 {
			t.Errorf("accepted: %+v", s)
		}
		if r := p.Rebuilders(); r.Given || r.Count < 0 || r.Count > len(r.Keys)+len(r.Identities) || r.Count > 0 && p.JudgeRebuilders(nil) == nil {
			t.Errorf("accepted: %+v", r)
		}
		for _, i := range append(s.Identities, p.Rebuilders().Identities...) {
			if err := i.Trusted().Validate(); err != nil {
				t.Errorf("identity %+v: %v", i, err)
			}
		}
		if err := p.Judge(Claim{}); !errors.Is(err, ErrArtifact) {
			t.Errorf("an empty claim: %v", err)
		}
	})
}
