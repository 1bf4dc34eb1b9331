package policy

import (
	"errors"
	"strings"
	"testing"

	"palisade/attestations/bundle"
)

// Of each identity the policy says for which source repository, in the one form in
// which a certificate can have it, or that there is none.
func TestRepository(t *testing.T) {
	text := sample(t)
	p := parse(t, text)
	for n, i := range append(p.Signers().Identities, p.Rebuilders().Identities...) {
		want := []string{"https://ci.example/palisade", "https://ci.example/palisade", "https://rebuild.example/palisade", bundle.NoRepository}[n]
		if i.Repository != want || i.Trusted() != (bundle.Identity{Issuer: i.Issuer, Subject: i.Subject, SubjectPattern: i.Pattern, Repository: want}) {
			t.Errorf("%+v is trusted as %+v, want the repository %s", i, i.Trusted(), want)
		}
	}
	for _, tt := range []struct{ name, old, new, says string }{
		{"left out", "      repository: none\n", "", `"repository" is missing`},
		{"any repository", "repository: none", "repository: any", "neither none nor the address"},
		{"a repository not over TLS", "repository: https://ci.example/palisade", "repository: http://ci.example/palisade", "neither none nor the address"},
		{"a repository by a pattern", "repository: https://ci.example/palisade", `repository: ^https://ci\.example/[a-z]+$`, "neither none nor the address"},
		{"repositories of a host", "repository: https://ci.example/palisade", "repository: https://ci.example", "neither none nor the address"},
		{"a repository with a / behind it", "repository: https://ci.example/palisade", "repository: https://ci.example/palisade/", "neither none nor the address"},
		{"a repository with its ref", "repository: https://ci.example/palisade", "repository: 'https://ci.example/palisade#main'", "neither none nor the address"},
		{"a repository with a query", "repository: https://ci.example/palisade", "repository: https://ci.example/palisade?", "neither none nor the address"},
		{"a repository with a user", "repository: https://ci.example/palisade", "repository: https://x@ci.example/palisade", "neither none nor the address"},
		{"a list of repositories", "repository: none", "repository: [none]", "a word is wanted"},
	} {
		changed := strings.ReplaceAll(text, tt.old, tt.new)
		if changed == text {
			t.Fatalf("%s: nothing to replace", tt.name)
		}
		p, err := Parse([]byte(changed))
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
		acceptsNothing(t, p)
	}
}
