package sign

import (
	"encoding/json"
	"fmt"
	"slices"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/signing"
	"palisade/magefiles/internal/dist"
)

// maxStatement bounds a statement, and a bundle, in bytes.
const maxStatement = 64 << 20

// document is the statement that an artifact's bill of materials is that of
// the artifact.
func (r *release) document(rec artifact.Record) (signing.Content, error) {
	return r.describes(dist.Document(rec, ""), rec.Documents, intoto.Subject{Name: rec.Name, Digest: sha256Of(rec.Digest)})
}

// describes is the statement that the document called name, one of those
// listed, is that of the subject.
func (r *release) describes(name string, documents []artifact.File, of intoto.Subject) (signing.Content, error) {
	data, err := r.read(name, maxStatement)
	if err != nil {
		return signing.Content{}, err
	}
	listed := slices.ContainsFunc(documents, func(f artifact.File) bool {
		return f.Name == name && f.Digest == artifact.DigestBytes(data)
	})
	if !listed {
		return signing.Content{}, fmt.Errorf("%w: %s has the digest %s: build again, or take it anew", ErrMismatch, name, artifact.DigestBytes(data))
	}
	content, err := state(of, intoto.SPDX, data)
	if err != nil {
		return signing.Content{}, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}

// state is a statement of ours about one thing.
func state(of intoto.Subject, predicateType string, predicate []byte) (signing.Content, error) {
	statement, err := intoto.Marshal(intoto.Statement{Type: intoto.Type, PredicateType: predicateType, Predicate: predicate, Subject: []intoto.Subject{of}})
	return signing.Statement(statement), err
}

func sha256Of(d artifact.Digest) intoto.Digests { return intoto.Digests{"sha256": d.Hex()} }

// provenance is signed as it lies there.
func (r *release) provenance(rec artifact.Record) (signing.Content, error) {
	name := dist.Provenance(rec)
	data, statement, err := r.statement(name)
	if err != nil {
		return signing.Content{}, err
	}
	p, err := provenance.Parse(statement)
	if err == nil {
		err = p.Check(rec)
	}
	if err != nil {
		return signing.Content{}, fmt.Errorf("%w: %s: %w: build again, or take it anew", ErrMismatch, name, err)
	}
	return signing.Statement(data), nil
}

// result is signed as it lies there, if it is of the component in this archive:
// verification takes no result of a tool beside it for that.
func (r *release) result(rec artifact.Record) (signing.Content, error) {
	data, _, err := r.audited(rec)
	return signing.Statement(data), err
}

// audited reads the test result of a binary of this archive.
func (r *release) audited(rec artifact.Record) ([]byte, intoto.Statement, error) {
	name := dist.TestResult(rec)
	fail := func(err error) ([]byte, intoto.Statement, error) { return nil, intoto.Statement{}, err }
	data, statement, err := r.statement(name)
	if err != nil {
		return fail(err)
	}
	ours := func(s intoto.Subject) bool {
		return slices.ContainsFunc(rec.Binaries, func(b artifact.Binary) bool {
			return b.Name == s.Name && b.Name == rec.Component && b.Digest.Hex() == s.Digest["sha256"]
		})
	}
	var predicate map[string]json.RawMessage // not a struct, to which other capitals are the same key
	var configuration []intoto.Resource
	err = json.Unmarshal(statement.Predicate, &predicate)
	if err == nil {
		err = json.Unmarshal(predicate["configuration"], &configuration)
	}
	if err != nil {
		return fail(fmt.Errorf("%w: %s: %w: run mage audit again", ErrMismatch, name, err))
	}
	about := slices.ContainsFunc(configuration, func(c intoto.Resource) bool {
		return c.Name == rec.Name && c.Digest["sha256"] == rec.Digest.Hex()
	})
	if statement.PredicateType != intoto.TestResult || len(statement.Subject) != 1 || !ours(statement.Subject[0]) || !about {
		return fail(fmt.Errorf("%w: %s is not the test result of the component in %s: run mage audit again, or remove it", ErrMismatch, name, rec.Name))
	}
	return data, statement, nil
}

func (r *release) statement(name string) ([]byte, intoto.Statement, error) {
	data, err := r.read(name, maxStatement)
	if err != nil {
		return nil, intoto.Statement{}, err
	}
	statement, err := intoto.Parse(data)
	if err != nil {
		return nil, intoto.Statement{}, fmt.Errorf("%w: %s: %w", ErrMismatch, name, err)
	}
	return data, statement, nil
}
