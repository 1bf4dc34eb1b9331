package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"palisade/attestations/artifact"
	"palisade/attestations/bundle"
	"palisade/attestations/intoto"
	"palisade/attestations/ocilayout"
	"palisade/attestations/provenance"
	"palisade/attestations/vex"
	"palisade/magefiles/internal/dist"
)

// How large what is read whole may be, in bytes.
const (
	maxBundle = 64 << 20
	maxIndex  = 64 << 20
)

// What lies in the folder of an image for each of its digests, and what it
// states. Without the first three nothing is published.
var kinds = []struct {
	name          dist.Carried
	predicateType string
	needed        bool
}{
	{dist.CarriedSignature, intoto.Signature, true},
	{dist.CarriedDocument, intoto.SPDX, true},
	{dist.CarriedProvenance, provenance.PredicateType, true},
	{dist.CarriedTestResult, intoto.TestResult, false},
	{dist.CarriedVEX, vex.PredicateType, false},
}

// A subject is a manifest, and what is attached to it.
type subject struct {
	document
	attached []attachment
}

// An attachment is a bundle as a registry carries it: a manifest that refers to
// its subject, and whose blobs are the bundle and an empty configuration.
type attachment struct {
	kind     string
	manifest document
	blobs    []*blob
}

// A reader reads the bundles of an image.
type reader struct {
	root  *os.Root
	image artifact.Image
	Options
}

// has is false only of what is not there: anything else is for who reads it.
func (in reader) has(name string) bool {
	_, err := in.root.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// bundles reads what was signed of the index and of every manifest, and of the
// archive that each manifest was made of: for a verifier who has no release.json.
// With the index goes what others attest who built the image again.
func bundles(in reader, records []artifact.Record, l *layout) ([]subject, error) {
	all := []subject{{document: l.index}}
	for _, p := range l.platforms {
		all = append(all, subject{document: p.document})
	}
	for n := range all {
		s := &all[n]
		for _, k := range kinds {
			name := dist.ImageBundle(in.image, s.digest, k.name)
			if !k.needed && !in.has(name) {
				continue
			}
			statement, err := s.take(in, name, string(k.name), k.predicateType, alone(s.digest))
			if err == nil && n == 0 && k.name == dist.CarriedProvenance {
				err = s.takeRebuilds(in, statement)
			}
			if err != nil {
				return nil, err
			}
		}
		if n == 0 {
			continue
		}
		r, err := recordOf(in.image.Platforms[n-1], records)
		if err == nil {
			_, err = s.take(in, dist.Bundle(dist.Provenance(r)), "provenance of "+r.Name, provenance.PredicateType, first(r))
		}
		if err == nil {
			err = s.signedToo(in, r)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func recordOf(p artifact.PlatformImage, records []artifact.Record) (artifact.Record, error) {
	n := slices.IndexFunc(records, func(r artifact.Record) bool { return r.Name == p.Artifact })
	if n < 0 { // which ParseManifest refuses
		return artifact.Record{}, mismatch("%s is in no release", p.Artifact)
	}
	return records[n], nil
}

// take reads a bundle of a statement of that type, about what it has to be about,
// and returns that as it was signed.
func (s *subject) take(in reader, name, kind, predicateType string, about func([]intoto.Subject) bool) (statement []byte, err error) {
	data, err := readSmall(in.root, name, maxBundle, mismatch)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing: run mage sign", ErrUnsigned, name)
	}
	if err == nil {
		err = states(data, predicateType, about)
	}
	if err == nil {
		opened, bad := bundle.OpenAttestation(data, in.Trust)
		if bad != nil {
			err = fmt.Errorf("%w: %w: run mage sign", ErrUnsigned, bad)
		}
		statement = opened.Payload()
	}
	var a attachment
	if err == nil {
		a, err = attach(s.document, data, predicateType, in.image.Epoch)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	a.kind = kind
	s.attached = append(s.attached, a)
	return statement, nil
}

// takeRebuilds reads what others attest who built the image again, which has that
// provenance.
func (s *subject) takeRebuilds(in reader, statement []byte) error {
	all, err := in.rebuilds(in.root, dist.Rebuilds(in.image.Name))
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := one.whole(provenance.ImageSubjects(in.image)); err != nil {
			return err
		}
	}
	return s.attachRebuilt(all, [][]byte{statement}, in.image.Epoch)
}

// signedToo refuses an image of whose archive an audit is there, or an OpenVEX
// document, that is not signed as of the image.
func (s *subject) signedToo(in reader, r artifact.Record) error {
	for _, one := range []struct {
		carried dist.Carried
		said    string
	}{{dist.CarriedTestResult, dist.TestResult(r)}, {dist.CarriedVEX, dist.VEX(r)}} {
		bundle := dist.ImageBundle(in.image, s.digest, one.carried)
		if in.has(one.said) && !in.has(bundle) {
			return fmt.Errorf("%w: there is %s, and %s is missing: run mage sign", ErrUnsigned, one.said, bundle)
		}
	}
	return nil
}

// alone is about d and nothing else; first is about r first, and its binaries.
func alone(d artifact.Digest) func([]intoto.Subject) bool {
	return func(all []intoto.Subject) bool {
		return len(all) == 1 && len(all[0].Digest) == 1 && all[0].Digest["sha256"] == d.Hex()
	}
}

func first(r artifact.Record) func([]intoto.Subject) bool {
	return func(all []intoto.Subject) bool {
		return all[0].Name == r.Name && all[0].Digest["sha256"] == r.Digest.Hex()
	}
}

// readSmall reads a regular file of at most so many bytes, or says how it is refused.
func readSmall(root *os.Root, name string, most int64, refuse func(string, ...any) error) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refuse("it is not a regular file")
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = refuse("it has more than %d bytes", most)
	}
	return data, err
}

// states refuses a bundle that is not of a statement of that type about what it
// has to be about.
func states(data []byte, predicateType string, about func([]intoto.Subject) bool) error {
	s, err := statementIn(data)
	if err != nil {
		return mismatch("%v", err)
	}
	if s.PredicateType != predicateType {
		return mismatch("it states %.100q, want %s", s.PredicateType, predicateType)
	}
	if !about(s.Subject) {
		return mismatch("it is about something else than what it lies with, %.100q first", s.Subject[0].Name)
	}
	return nil
}

// statementIn is what a bundle states. Nobody has confirmed it.
func statementIn(data []byte) (intoto.Statement, error) {
	var b struct {
		MediaType string `json:"mediaType"`
		Envelope  struct {
			Payload     []byte `json:"payload"`
			PayloadType string `json:"payloadType"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return intoto.Statement{}, fmt.Errorf("it is no bundle: %w", err)
	}
	if b.MediaType != bundle.MediaType || b.Envelope.PayloadType != bundle.PayloadType {
		return intoto.Statement{}, errors.New("it is no bundle of a statement")
	}
	return intoto.Parse(b.Envelope.Payload)
}

// The empty configuration that the manifest of a bundle has.
const (
	emptyType = ocilayout.EmptyType
	empty     = ocilayout.Empty
)

// attach makes the manifest by which a registry carries a bundle, byte for byte
// as cosign's WriteAttestationNewBundleFormat does, at that time.
func attach(to document, data []byte, predicateType string, epoch int64) (attachment, error) {
	config, layer := inMemory(emptyType, []byte(empty)), inMemory(bundle.MediaType, data)
	config.Descriptor.ArtifactType = bundle.MediaType
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bundle.MediaType,
		Config: config.Descriptor, Layers: []v1.Descriptor{layer.Descriptor},
		Subject: &v1.Descriptor{MediaType: types.MediaType(to.mediaType), Digest: hashOf(to.digest), Size: int64(len(to.data))},
		Annotations: map[string]string{
			"dev.sigstore.bundle.content":       "dsse-envelope",
			"dev.sigstore.bundle.predicateType": predicateType,
			"org.opencontainers.image.created":  time.Unix(epoch, 0).UTC().Format(time.RFC3339),
		},
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return attachment{}, err
	}
	return attachment{manifest: document{ocilayout.ManifestType, artifact.DigestBytes(manifest), manifest}, blobs: []*blob{config, layer}}, nil
}
