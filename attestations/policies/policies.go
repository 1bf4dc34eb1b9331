// Package policies holds the policies that ship with this distribution, so
// that a program can use them without a checkout. Each is a file beside it, to
// be read and changed; see package policy for what it may say.
package policies

import (
	"embed"
	"fmt"

	"palisade/attestations/policy"
)

//go:embed *.yaml
var files embed.FS

// Names are those of the policies that ship.
var Names = []string{"release", "workstation"}

// URI is what a verification summary calls one of them.
func URI(name string) string { return "https://palisade.example/policies/" + name }

// Load reads one of them: "release", which refuses what was built on a
// workstation, or "workstation", which trusts the keys that a verifier is given.
func Load(name string) (policy.Policy, error) {
	data, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return policy.Policy{}, fmt.Errorf("loading policy %q: it does not ship; there are %v, or read a file with policy.Parse", name, Names)
	}
	p, err := policy.Parse(data)
	if err != nil {
		return policy.Policy{}, fmt.Errorf("loading policy %q: %w", name, err)
	}
	return p, nil
}
