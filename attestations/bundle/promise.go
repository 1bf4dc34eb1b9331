package bundle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// The library for this starts a program on darwin to find the system's roots,
// which a verifier must not even be able to; what is needed of RFC 6962 is here.

// promises is the extension of a certificate that holds what logs of
// certificates have promised: to publish it (RFC 6962 section 3.3).
var promises = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// promised reports whether a log of the root has promised to hold the
// certificate, whose issuer is the second of a chain, at a time when that log
// was believed.
func (r *Root) promised(cert *x509.Certificate, chains [][]*x509.Certificate) bool {
	bare, err := unpromised(cert.RawTBSCertificate)
	if err != nil {
		return false
	}
	list, err := readPromises(cert)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(p promise) bool {
		l, ok := r.ctlogs[hex.EncodeToString(p.log)]
		if !ok || !l.holds(time.UnixMilli(int64(p.millis))) {
			return false
		}
		return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
			return len(chain) > 1 && p.verify(l.key, chain[1], bare)
		})
	})
}

// A promise is a SignedCertificateTimestamp.
type promise struct {
	log        []byte
	millis     uint64
	extensions []byte
	algorithm  [2]uint8 // of the hash and of the signature
	signature  []byte
}

// What a log may sign with (RFC 5246 section 7.4.1.4.1).
var (
	sha256ECDSA = [2]uint8{4, 3}
	sha256RSA   = [2]uint8{4, 1}
)

var errPromises = errors.New("malformed list of promises")

// readPromises reads the list that is embedded in a certificate: a TLS vector
// in an octet string. Promises of another version than the first are left out.
func readPromises(cert *x509.Certificate) (all []promise, err error) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(promises) {
			continue
		}
		value := cryptobyte.String(e.Value)
		var octets, list cryptobyte.String
		if !value.ReadASN1(&octets, der.OCTET_STRING) || !value.Empty() || !octets.ReadUint16LengthPrefixed(&list) || !octets.Empty() {
			return nil, errPromises
		}
		for !list.Empty() {
			var sct, extensions, signature cryptobyte.String
			var version uint8
			var p promise
			if !list.ReadUint16LengthPrefixed(&sct) || !sct.ReadUint8(&version) {
				return nil, errPromises
			}
			if version != 0 {
				continue
			}
			if !sct.ReadBytes(&p.log, sha256.Size) || !sct.ReadUint64(&p.millis) || !sct.ReadUint16LengthPrefixed(&extensions) ||
				!sct.ReadUint8(&p.algorithm[0]) || !sct.ReadUint8(&p.algorithm[1]) || !sct.ReadUint16LengthPrefixed(&signature) || !sct.Empty() {
				return nil, errPromises
			}
			p.extensions, p.signature = extensions, signature
			all = append(all, p)
		}
	}
	return all, nil
}

// verify checks the log's signature of a precertificate (RFC 6962 section
// 3.2).
func (p promise) verify(key crypto.PublicKey, issuer *x509.Certificate, bare []byte) bool {
	const version, timestamp, precertificate = 0, 0, 1
	issuerKey := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	var b cryptobyte.Builder
	b.AddUint8(version)
	b.AddUint8(timestamp)
	b.AddUint64(p.millis)
	b.AddUint16(precertificate)
	b.AddBytes(issuerKey[:])
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(bare) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(p.extensions) })
	signed, err := b.Bytes()
	if err != nil {
		return false
	}
	digest := sha256.Sum256(signed)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return p.algorithm == sha256ECDSA && ecdsa.VerifyASN1(key, digest[:], p.signature)
	case *rsa.PublicKey:
		return p.algorithm == sha256RSA && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], p.signature) == nil
	}
	return false
}

// unpromised is a certificate's TBSCertificate as the log saw it: without the
// extension that holds the promises.
func unpromised(tbs []byte) ([]byte, error) {
	malformed := errors.New("malformed certificate")
	in := cryptobyte.String(tbs)
	var fields cryptobyte.String
	if !in.ReadASN1(&fields, der.SEQUENCE) || !in.Empty() {
		return nil, malformed
	}
	extensionsTag := der.Tag(3).Constructed().ContextSpecific()
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for !fields.Empty() {
			var field, explicit, list cryptobyte.String
			var tag der.Tag
			if !fields.ReadAnyASN1Element(&field, &tag) {
				b.SetError(malformed)
				return
			}
			if tag != extensionsTag {
				b.AddBytes(field)
				continue
			}
			if !field.ReadASN1(&explicit, tag) || !explicit.ReadASN1(&list, der.SEQUENCE) || !explicit.Empty() {
				b.SetError(malformed)
				return
			}
			b.AddASN1(tag, func(b *cryptobyte.Builder) {
				b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
					for !list.Empty() {
						var extension, body cryptobyte.String
						var id asn1.ObjectIdentifier
						if !list.ReadASN1Element(&extension, der.SEQUENCE) {
							b.SetError(malformed)
							return
						}
						inside := extension
						if !inside.ReadASN1(&body, der.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&id) {
							b.SetError(malformed)
							return
						}
						if !id.Equal(promises) {
							b.AddBytes(extension)
						}
					}
				})
			})
		}
	})
	return b.Bytes()
}
