package rebuild

import (
	"errors"
	"fmt"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
)

// CheckCarried refuses an attestation that is not of an image of which a registry
// carries, with one digest, any of these statements of provenance: each byte for
// byte as it was signed, verified before, and about that digest alone. Of none it
// refuses whatever it is given. r has to come from Parse.
//
// What is attested may be about that digest alone, and from that very statement;
// or about the image as a whole, that digest among others, and from the statement
// that its release has. That one says the same of more subjects (provenance.About),
// so its digest is known from both. Either way somebody says that this digest
// comes out of this definition.
func (r Rebuild) CheckCarried(statements ...[]byte) error {
	refused := fmt.Errorf("%w: here there is none", ErrOriginal)
	for n, s := range statements {
		err := r.checkCarried(s)
		switch {
		case err == nil:
			return nil
		case n == 0:
			refused = err
		default:
			refused = errors.Join(refused, err)
		}
	}
	return refused
}

func (r Rebuild) checkCarried(statement []byte) error {
	s, err := intoto.Parse(statement)
	if err != nil {
		return err
	}
	p, err := provenance.ParseImage(s)
	if err != nil {
		return err
	}
	if len(p.Subject) != 1 {
		return fmt.Errorf("%w: the one here is about %d subjects, and a registry carries it with one digest", ErrOriginal, len(p.Subject))
	}
	if len(r.Subject) > 1 {
		if !slices.ContainsFunc(r.Subject, func(s intoto.Subject) bool { return sameSubject(s, p.Subject[0]) }) {
			return fmt.Errorf("%w: %.100q %.64s is none of the %d that it is about", ErrSubject, p.Subject[0].Name, p.Subject[0].Digest["sha256"], len(r.Subject))
		}
		s.Subject = r.Subject
		if statement, err = intoto.Marshal(s); err == nil {
			p, err = provenance.ParseImage(s)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSubject, err)
		}
	}
	g, err := Image(p, artifact.DigestBytes(statement))
	if err != nil {
		return err
	}
	return r.Check(g)
}
