package release

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/checkout"
	"palisade/magefiles/internal/handover"
)

var update = flag.Bool("update", false, "write what was made into the golden files")

var (
	amd64 = artifact.Platform{OS: "linux", Arch: "amd64"}
	arm64 = artifact.Platform{OS: "linux", Arch: "arm64"}
	tool  = "h1:5NBkmd8MXirajj6AAEpi4HFVJnVkBNPTL1ggYAKqaws="
	state = checkout.State{
		Address: "git+https://code.example.org/palisade", Commit: strings.Repeat("ab", 20), Clean: true,
		Tool: checkout.Tool{Version: strings.Repeat("ab", 20), Sum: tool},
	}
)

func digestOf(s string) artifact.Digest { return artifact.DigestBytes([]byte(s)) }

func options() Options {
	return Options{
		Distribution: "palisade", Release: "1.4.0", Tag: "v1.4.0", Settings: digestOf("settings"), Shards: 3,
		Runners:  map[artifact.Platform]string{amd64: "ubuntu-24.04", arm64: "ubuntu-24.04-arm"},
		Previous: &Previous{Number: 7, Digest: digestOf("index")},
	}
}

func input(component string, p artifact.Platform, variant string, weight int, image bool) Input {
	return Input{Cell: Cell{
		Component: component, Version: "1.0.0-palisade.1", Platform: p, Variant: variant, Recipe: digestOf(component),
	}, Weight: weight, Image: image}
}

// inputs are given out of order.
func inputs() []Input {
	return []Input{
		input("gong", amd64, "hardened", 200, false),
		input("bell", amd64, "vanilla", 300, true), input("bell", amd64, "hardened", 300, true),
		input("bell", arm64, "hardened", 300, true), input("drum", amd64, "hardened", 350, true),
	}
}

func made(t testing.TB) Plan {
	t.Helper()
	p, err := Make(inputs(), state, options())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %v\n%s", file, err, got)
	}
}

func TestPlan(t *testing.T) {
	p := made(t)
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", data)
	matrix, err := p.Matrix()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "matrix.json", append(matrix, '\n'))
	again, err := ParsePlan(data)
	if err != nil || again.Digest() != artifact.DigestBytes(data) || p.Digest() != again.Digest() {
		t.Errorf("read again: %v", err)
	}
	reordered := inputs()
	slices.Reverse(reordered)
	if other, err := Make(reordered, state, options()); err != nil || other.Digest() != p.Digest() {
		t.Errorf("in another order: %v", err)
	}
	if (Plan{}).Digest() != (artifact.Digest{}) {
		t.Error("no plan has a digest")
	}
	s, err := p.ShardOf("2/3")
	if err != nil || len(p.Of(s)) == 0 || slices.ContainsFunc(p.Of(s), func(c Cell) bool { return c.Shard != s }) {
		t.Errorf("%v, %v", p.Of(s), err)
	}
	if _, err := p.ShardOf("2/2"); !errors.Is(err, ErrShards) {
		t.Errorf("a shard of another plan: %v", err)
	}
}

// What a rehearsal lacks has one form too.
func TestPlanRehearsal(t *testing.T) {
	o := options()
	o.Tag, o.Previous, o.Tool = "", nil, digestOf("program").String()
	s := state
	s.Tool, s.Address = checkout.Tool{}, ""
	p, err := Make(inputs()[:1], s, Options{Distribution: o.Distribution, Release: o.Release, Settings: o.Settings, Tool: o.Tool, Runners: o.Runners})
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`"tag": ""`, `"repository": ""`, `"previous": null`, `"images": []`, `"shards": 1`, `"tool": "sha256:`} {
		if !strings.Contains(string(data), line) {
			t.Errorf("it lacks %s:\n%s", line, data)
		}
	}
	if _, err := ParsePlan(data); err != nil {
		t.Error(err)
	}
}

func TestMakeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		is   error
		want string
		do   func(s *checkout.State, o *Options, in *[]Input)
	}{
		{"a dirty tree", ErrDirty, "commit them or take them away", func(s *checkout.State, _ *Options, _ *[]Input) { s.Clean = false }},
		{"no commit", ErrDirty, "it is under no version control", func(s *checkout.State, _ *Options, _ *[]Input) {
			s.Commit, s.Unknown = "", "it is under no version control"
		}},
		{"nothing", ErrShards, "nothing to build", func(_ *checkout.State, _ *Options, in *[]Input) { *in = nil }},
		{"too few shards", ErrShards, "from 2 to 4", func(_ *checkout.State, o *Options, _ *[]Input) { o.Shards = 1 }},
		{"too many shards", ErrShards, "from 2 to 4", func(_ *checkout.State, o *Options, _ *[]Input) { o.Shards = 5 }},
		{"no runner", ErrShards, "name a runner of linux/arm64", func(_ *checkout.State, o *Options, _ *[]Input) {
			o.Runners = map[artifact.Platform]string{amd64: "x"}
		}},
		{"another tag", ErrMalformed, `tag "v1.4.1", want "v1.4.0"`, func(_ *checkout.State, o *Options, _ *[]Input) { o.Tag = "v1.4.1" }},
		{"no tool", ErrMalformed, "which tool makes it", func(s *checkout.State, _ *Options, _ *[]Input) { s.Tool = checkout.Tool{} }},
		{"a cell twice", ErrMalformed, "there twice", func(_ *checkout.State, _ *Options, in *[]Input) { *in = append(*in, (*in)[0]) }},
		{"a strange label", ErrMalformed, "is no plain name", func(_ *checkout.State, o *Options, _ *[]Input) {
			o.Runners = map[artifact.Platform]string{amd64: "${{ x }}", arm64: "x"}
		}},
		{"no number", ErrMalformed, "has no number", func(_ *checkout.State, o *Options, _ *[]Input) { o.Previous = &Previous{Digest: digestOf("")} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, o, in := state, options(), inputs()
			tt.do(&s, &o, &in)
			if _, err := Make(in, s, o); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParsePlanRefuses(t *testing.T) {
	data, err := made(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"an unknown field", `"schema"`, `"more": 1, "schema"`, "unknown field"},
		{"a key twice", `"tag": "v1.4.0",`, `"tag": "v1.4.0", "tag": "v1.4.0",`, "the form"},
		{"other capitals", `"tag"`, `"Tag"`, "the form"},
		{"something behind", "}\n}\n", "}\n}\n1", "something follows"},
		{"without its end", "}\n}\n", "}\n}", "the form"},
		{"null for a list", `"images": [`, `"images": null, "x": [`, "unknown field"},
		{"another schema", "plan.v1", "plan.v2", "schema"},
		{"another commit's form", strings.Repeat("ab", 20), "main", "is no commit"},
		{"more shards", `"shards": 3`, `"shards": 4`, "and there are 4"},
		{"a shard with two platforms", `"shard": "3/3"`, `"shard": "1/3"`, "of two platforms"},
		{"a component that leads out", `"component": "gong"`, `"component": "../gong"`, "lacks component"},
		{"a runner more", `"linux/amd64": "`, `"linux/386": "x", "linux/amd64": "`, "nothing to build"},
		{"an image of nothing", `"linux/arm64"
      ]`, `"linux/s390x"
      ]`, "nobody builds it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(string(data), tt.old) {
				t.Fatalf("it does not hold %s", tt.old)
			}
			_, err := ParsePlan([]byte(strings.Replace(string(data), tt.old, tt.new, 1)))
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := ParsePlan(make([]byte, MaxPlan+1)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("too large: %v", err)
	}
}

func TestHold(t *testing.T) {
	p := made(t)
	for _, tt := range []struct {
		name string
		is   error
		want string
		do   func(s *checkout.State, tool *string, settings *artifact.Digest, recipe *error)
	}{
		{"the same", nil, "", func(*checkout.State, *string, *artifact.Digest, *error) {}},
		{"a clone of elsewhere", nil, "", func(s *checkout.State, _ *string, _ *artifact.Digest, _ *error) { s.Address = "" }},
		{"a dirty tree", ErrDirty, "take them away", func(s *checkout.State, _ *string, _ *artifact.Digest, _ *error) { s.Clean = false }},
		{"another commit", ErrCommit, "check that one out", func(s *checkout.State, _ *string, _ *artifact.Digest, _ *error) {
			s.Commit = strings.Repeat("cd", 20)
		}},
		{"another tool", ErrCommit, "it makes the tool h1:x", func(_ *checkout.State, tool *string, _ *artifact.Digest, _ *error) { *tool = "h1:x" }},
		{"other settings", ErrCommit, "distribution.yaml", func(_ *checkout.State, _ *string, s *artifact.Digest, _ *error) { *s = digestOf("x") }},
		{"a recipe that is not there", ErrCommit, "recipe bell: gone", func(_ *checkout.State, _ *string, _ *artifact.Digest, recipe *error) {
			*recipe = errors.New("gone")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, tool, settings, gone := state, state.Tool.Sum, p.Settings, error(nil)
			tt.do(&s, &tool, &settings, &gone)
			err := p.Hold(s, tool, settings, func(c string) (artifact.Digest, error) { return digestOf(c), gone })
			if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	err := p.Hold(state, tool, p.Settings, func(string) (artifact.Digest, error) { return digestOf("another"), nil })
	if !errors.Is(err, ErrCommit) || !strings.Contains(err.Error(), "recipe bell is") {
		t.Errorf("another recipe: %v", err)
	}
}

func TestDeal(t *testing.T) {
	// One platform, three machines: the largest is alone, the rest is even.
	var in []Input
	for name, weight := range map[string]int{"a": 100, "b": 60, "c": 50, "d": 40, "e": 30, "f": 0} {
		in = append(in, input(name, amd64, "hardened", weight, false))
	}
	cells, n, err := deal(in, 3)
	if err != nil || n != 3 {
		t.Fatal(n, err)
	}
	got := map[handover.Shard]string{}
	for _, c := range cells {
		got[c.Shard] += c.Component
	}
	if got[handover.Shard{Number: 1, Of: 3}] != "a" || got[handover.Shard{Number: 2, Of: 3}] != "bef" || got[handover.Shard{Number: 3, Of: 3}] != "cd" {
		t.Errorf("dealt %v", got)
	}
	// Of two platforms the one with more to do has more machines.
	for _, c := range slices.Clone(in) {
		c.Platform = arm64
		c.Weight = 1
		in = append(in, c)
	}
	cells, n, err = deal(in, 0)
	if err != nil || n != 2 {
		t.Errorf("as few as there can be: %d, %v", n, err)
	}
	cells, _, err = deal(in, 4)
	if err != nil {
		t.Fatal(err)
	}
	of := map[artifact.Platform]map[handover.Shard]bool{amd64: {}, arm64: {}}
	for _, c := range cells {
		of[c.Platform][c.Shard] = true
	}
	if len(of[amd64]) != 3 || len(of[arm64]) != 1 {
		t.Errorf("dealt %v", of)
	}
	// As many machines as there are groups: each has one.
	cells, _, err = deal(in, 12)
	if err != nil {
		t.Fatal(err)
	}
	each := map[handover.Shard]int{}
	for _, c := range cells {
		each[c.Shard]++
	}
	if len(each) != 12 {
		t.Errorf("dealt %v", each)
	}
}

// Whatever is read as a plan is written in the same bytes.
func FuzzPlan(f *testing.F) {
	data, err := made(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Add(bytes.Replace(data, []byte(`"3/3"`), []byte(`"2/3"`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlan(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if again, err := p.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%v\n%s\n%s", err, data, again)
		}
		if _, err := p.Matrix(); err != nil {
			t.Fatal(err)
		}
	})
}
