package modules

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"palisade/magefiles/internal/proxytest"
	"palisade/recipes"
)

const tools = "//go:build tools\n\npackage test\n\nimport _ \"example.org/Bell\"\n"

func tidied(t *testing.T, goMod, goSum []byte) recipes.Lock {
	t.Helper()
	l, err := recipes.ParseLock(bell.Path, goMod, goSum)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A lock gets what its commands link, with hashes from the database, and
// loses what they do not.
func TestTidy(t *testing.T) {
	p, c := belfry(t)
	drum := module.Version{Path: "example.org/drum", Version: "v1.0.0"}
	p.Add(t, drum.Path, drum.Version, map[string]string{"go.mod": "module example.org/drum\n", "drum.go": "package drum\n"})
	full := p.Lock(bell, drum)
	goMod, goSum, err := c.Tidy(t.Context(), full.GoMod, nil, []byte(tools))
	if err != nil {
		t.Fatal(err)
	}
	l := tidied(t, goMod, goSum)
	if l.Go != "1.26.8" || l.Upstream != bell.Version || l.Sums[bell] != p.Sums[bell] || l.Sums[rope] != p.Sums[rope] {
		t.Errorf("got %s\n%s", goMod, goSum)
	}
	if m, ok := l.Find(rope.Path); !ok || m != rope {
		t.Errorf("it does not require %s:\n%s", rope, goMod)
	}
	if _, ok := l.Find(drum.Path); ok || l.Sums[drum] != "" {
		t.Errorf("it keeps %s:\n%s%s", drum, goMod, goSum)
	}
	again, againSum, err := c.Tidy(t.Context(), goMod, goSum, []byte(tools))
	if err != nil || string(again) != string(goMod) || string(againSum) != string(goSum) {
		t.Errorf("tidied again: %v\n%s%s", err, again, againSum)
	}
}

func TestTidyRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T, p *proxytest.Proxy, l recipes.Lock)
	}{
		{"go.sum has another hash", "checksum mismatch", func(_ *testing.T, _ *proxytest.Proxy, l recipes.Lock) {
			l.Sums[bell] = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
		}},
		{"proxy differs from database", "SECURITY ERROR", func(t *testing.T, p *proxytest.Proxy, l recipes.Lock) {
			delete(l.Sums, bell)
			p.Serve(t, bell.Path, bell.Version, map[string]string{"go.mod": bellFiles["go.mod"], "x.go": "package x\n"})
		}},
		{"no network", "connection refused", func(_ *testing.T, p *proxytest.Proxy, _ recipes.Lock) { p.Stop() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, c := belfry(t)
			l := p.Lock(bell, rope)
			tt.change(t, p, l)
			goMod, _, err := c.Tidy(t.Context(), l.GoMod, l.Sums.Encode(), []byte(tools))
			if !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), tt.want) || goMod != nil {
				t.Errorf("got %s, %v", goMod, err)
			}
		})
	}
}
