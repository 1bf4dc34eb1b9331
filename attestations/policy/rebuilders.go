package policy

import (
	"crypto"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"palisade/attestations/bundle"
	"palisade/attestations/rebuild"
)

// Rebuilders are those whose attestations count that they built an artifact
// again, and how many of them are demanded. The zero Rebuilders are not
// demanded, and nobody is believed.
type Rebuilders struct {
	Count int
	Signers
}

// Rebuilders are a copy of those that p demands.
func (p Policy) Rebuilders() Rebuilders {
	if p.rules == nil {
		return Rebuilders{Count: 1, Signers: p.Signers()}
	}
	r := p.rules.rebuilders
	r.Keys, r.Identities = slices.Clone(r.Keys), slices.Clone(r.Identities)
	return r
}

// A Rebuilder is who attests that he built something again: who signed that, and
// the KeyID of the key that he did it with, which of an identity a certificate
// holds.
type Rebuilder struct {
	bundle.Signer
	Key string
}

// JudgeRebuilders holds those who built an artifact again against p. Whoever is
// not named there does not count.
func (p Policy) JudgeRebuilders(by []Rebuilder) error {
	if p.rules == nil {
		return fmt.Errorf("%w: it was never read; use Parse", ErrPolicy)
	}
	r := p.rules.rebuilders
	if n := r.distinct(by); n < r.Count {
		return fmt.Errorf("%w: %d of %d; have one of those who are named run mage reproduce", ErrRebuilders, n, r.Count)
	}
	return nil
}

// distinct is how many of those who are named did it: all of them who may be one
// and the same count once.
func (r Rebuilders) distinct(by []Rebuilder) int {
	all := r.parties()
	seen := map[string]int{} // by what he showed, one of the entries that he is
	var did []int
	for _, one := range by {
		entries := r.entries(one.Signer)
		if len(entries) == 0 {
			continue
		}
		did = append(did, entries[0])
		for _, e := range entries {
			all.join(entries[0], e)
		}
		shown := []string{"key " + one.Key} // those of whom it is not known may be one
		if one.Subject != "" {
			shown = append(shown, "subject "+strings.ToLower(one.Subject))
		}
		for _, what := range shown {
			if e, before := seen[what]; before {
				all.join(e, entries[0])
			}
			seen[what] = entries[0]
		}
	}
	return all.count(did)
}

// entries are the places of all keys and identities that are s, keys first.
func (r Rebuilders) entries(s bundle.Signer) (all []int) {
	for i, k := range r.Keys {
		if id, err := bundle.KeyID(k); err == nil && id == s.KeyID {
			all = append(all, i)
		}
	}
	for i, identity := range r.Identities {
		if identity.Trusted().Names(s) {
			all = append(all, len(r.Keys)+i)
		}
	}
	return all
}

// parties are the keys and the identities, of which those are one that have the
// same subject, whoever vouches for it.
func (r Rebuilders) parties() parties {
	all := newParties(len(r.Keys) + len(r.Identities))
	for i, a := range r.Identities {
		for j, b := range r.Identities[:i] {
			if a.mayBe(b) || b.mayBe(a) {
				all.join(len(r.Keys)+i, len(r.Keys)+j)
			}
		}
	}
	return all
}

// mayBe reports whether i is whoever has the subject or the pattern of b.
func (i Identity) mayBe(b Identity) bool {
	if i.Pattern != "" {
		return i.Pattern == b.Pattern || bundle.Identity{Issuer: b.Issuer, SubjectPattern: i.Pattern}.Names(bundle.Signer{Issuer: b.Issuer, Subject: b.Subject})
	}
	return strings.EqualFold(i.Subject, b.Subject)
}

// parties says of each of some entries which other one it is the same as; an entry
// that is itself stands for all of them.
type parties []int

func newParties(n int) parties {
	all := make(parties, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (p parties) of(i int) int {
	for p[i] != i {
		i = p[i]
	}
	return i
}

func (p parties) join(i, j int) { p[p.of(i)] = p.of(j) }

// count is how many different ones these entries are.
func (p parties) count(entries []int) int {
	different := map[int]bool{}
	for _, i := range entries {
		different[p.of(i)] = true
	}
	return len(different)
}

// all are the entries.
func (p parties) all() (entries []int) {
	for i := range p {
		entries = append(entries, i)
	}
	return entries
}

// maxRebuilders bounds how many may be named: each is held against each.
const maxRebuilders = 64

// rebuilders reads the field of that name. What vouches for the time of a
// signature is the same for all.
func (r *reader) rebuilders(n *yaml.Node, of Signers) (all Rebuilders) {
	if n.Kind == yaml.ScalarNode {
		r.either(n, "not-required")
		return all
	}
	f := r.fields(n, "count", "keys", "identities")
	if r.err != nil {
		return all
	}
	all.Signers = r.named(f["keys"], f["identities"])
	all.Log, all.Timestamp = of.Log, of.Timestamp
	if all.Given {
		r.fail(f["keys"], "given is none of them: keys that are given are those of who signed")
	}
	if named := len(all.Keys) + len(all.Identities); named > maxRebuilders {
		r.fail(n, "%d keys and identities, at most %d are read", named, maxRebuilders)
		return all
	}
	different := all.parties()
	word, named := r.word(f["count"]), min(different.count(different.all()), rebuild.MaxBundles)
	var err error
	if all.Count, err = strconv.Atoi(word); err != nil || strconv.Itoa(all.Count) != word || all.Count < 1 || all.Count > named {
		r.fail(f["count"], "%.60q is no number from 1 to %d, of the keys and identities that are named and cannot be one and the same", word, named)
	}
	return all
}

// sameKey compares keys as they are, not as they are written.
func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
