package verify

import (
	"crypto"
	"fmt"
	"maps"
	"slices"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/policy"
)

// A Trust is what a policy cannot hold: the keys that it calls given, the
// authorities and logs, and the time. It adds nobody whom the policy does not
// name.
type Trust struct {
	Keys []crypto.PublicKey // that a policy calls given; unused if it does not
	Root *bundle.Root       // nil if keys alone are believed, and neither log nor timestamp is demanded
	Now  time.Time          // by which an age is told

	// Fresh is the index of releases that what is verified has to be in; nil to
	// do without one, where the policy does.
	Fresh *Freshness
}

// opener opens what p accepts, of which there must be something: a policy that
// nothing could pass tells nothing of a release.
func (t Trust) opener(p policy.Policy) (opener, error) {
	trust, err := t.Bundles(p)
	if err != nil {
		return nil, err
	}
	rebuilders, err := t.Rebuilders(p)
	return bundles{trust, rebuilders}, err
}

// Rebuilders is whose attestations of having built something again p believes:
// nobody's, if it demands none.
func (t Trust) Rebuilders(p policy.Policy) (bundle.Trust, error) {
	r := p.Rebuilders()
	if r.Count == 0 {
		return bundle.Trust{}, nil
	}
	trust := t.of(r.Signers)
	if err := trust.Validate(); err != nil {
		return bundle.Trust{}, fmt.Errorf("policy %s: rebuilders: %w", p.Name(), err)
	}
	return trust, nil
}

// of is the trust in those who are named.
func (t Trust) of(s policy.Signers) bundle.Trust {
	trust := bundle.Trust{Root: t.Root, RequireLog: s.Log, RequireTimestamp: s.Timestamp, Keys: slices.Clone(s.Keys)}
	for _, i := range s.Identities {
		trust.Identities = append(trust.Identities, i.Trusted())
	}
	return trust
}

// keys are those of signers, with what is given.
func (t Trust) keys(s policy.Signers) []crypto.PublicKey {
	if s.Given {
		return slices.Concat(s.Keys, t.Keys)
	}
	return slices.Clone(s.Keys)
}

// Bundles is whose bundles p believes, with what t adds: an error if nobody's.
func (t Trust) Bundles(p policy.Policy) (bundle.Trust, error) {
	s := p.Signers()
	trust := t.of(s)
	if s.Given && len(t.Keys) == 0 && len(s.Keys) == 0 && len(s.Identities) == 0 {
		return bundle.Trust{}, fmt.Errorf("policy %s: %w: it wants a key to be given, and there is none", p.Name(), bundle.ErrTrust)
	}
	trust.Keys = t.keys(s)
	if err := trust.Validate(); err != nil {
		return bundle.Trust{}, fmt.Errorf("policy %s: %w", p.Name(), err)
	}
	return trust, nil
}

// Attestations opens the bundles of attestations that p believes, as it does while
// something is verified: by who signed them, and when. What it returns is the
// statement as it was signed.
func (t Trust) Attestations(p policy.Policy) (func(data []byte) ([]byte, error), error) {
	trust, err := t.Bundles(p)
	if err != nil {
		return nil, err
	}
	return func(data []byte) ([]byte, error) {
		s, err := bundles{trust: trust}.attestation(data)
		if err == nil {
			err = p.JudgeTime(s.at, t.Now)
		}
		if err != nil {
			return nil, err
		}
		return s.payload, nil
	}, nil
}

// An opener opens Sigstore bundles: what it returns was signed by somebody
// whom the policy names. It stands apart so that what is checked of a content
// can be tried without a signature.
type opener interface {
	signature(data []byte, content artifact.Digest) (signed, error)
	attestation(data []byte) (signed, error)
	rebuild(data []byte) (signed, error) // an attestation of a rebuilder
}

// signed is what an opened bundle says.
type signed struct {
	by      bundle.Signer
	key     string    // bundle.KeyID of the key that did it
	at      time.Time // zero where nothing trusted tells
	logged  bool
	payload []byte // of an attestation

	workflow bundle.Workflow // that the certificate names; zero if there is none
}

// String is who signed and when, for a report.
func (s signed) String() string {
	text := "by " + s.by.String()
	if !s.at.IsZero() {
		text += " on " + s.at.UTC().Format(time.RFC3339)
	}
	if s.logged {
		text += ", in a transparency log"
	}
	return text
}

type bundles struct{ trust, rebuilders bundle.Trust }

func (b bundles) signature(data []byte, content artifact.Digest) (signed, error) {
	v, err := bundle.OpenSignature(data, b.trust, content)
	return seen(v, err)
}

func (b bundles) attestation(data []byte) (signed, error) {
	v, err := bundle.OpenAttestation(data, b.trust)
	return seen(v, err)
}

func (b bundles) rebuild(data []byte) (signed, error) {
	v, err := bundle.OpenAttestation(data, b.rebuilders)
	return seen(v, err)
}

func seen(v bundle.Verified, err error) (signed, error) {
	if err != nil {
		return signed{}, err
	}
	at, _ := v.Time()
	workflow, _ := v.Workflow()
	return signed{by: v.Signer(), key: v.KeyID(), at: at, logged: v.Logged(), payload: v.Payload(), workflow: workflow}, nil
}

// signature opens the signature of the file of that name and content. Who did
// not sign it is refused with that sentinel.
func (v *verifier) signature(name string, content artifact.Digest, refusal error) (signed, error) {
	return v.bundle(name+bundleSuffix, refusal, func(data []byte) (signed, error) { return v.open.signature(data, content) })
}

// bundle reads a bundle and opens it. It must not be older than the policy
// allows, whatever it holds.
func (v *verifier) bundle(name string, refusal error, open func([]byte) (signed, error)) (signed, error) {
	data, err := v.dir.read(name, maxStatement)
	if err != nil {
		return signed{}, err
	}
	s, err := open(data)
	if err != nil {
		return signed{}, fmt.Errorf("%w: %s: %w", refusal, name, err)
	}
	if err := v.policy.JudgeTime(s.at, v.now); err != nil {
		return signed{}, fmt.Errorf("%s: %w", name, err)
	}
	v.believe(name, data)
	return s, nil
}

// believe remembers a bundle that was believed.
func (v *verifier) believe(name string, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.opened[name] = artifact.DigestBytes(data)
}

// inputs are the bundles that were believed, by name.
func (v *verifier) inputs() []intoto.Resource {
	var all []intoto.Resource
	for _, name := range slices.Sorted(maps.Keys(v.opened)) {
		all = append(all, intoto.Resource{Name: name, Digest: intoto.Digests{"sha256": v.opened[name].Hex()}})
	}
	return all
}
