package gitsource

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"palisade/recipes"
)

const (
	minRSA    = 2048 // bits
	namespace = "git"
	pgpEnd    = "-----END PGP SIGNATURE-----"
)

// keys are those of whom a tag may be signed by.
type keys struct {
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
}

// readKeys reads every file whole: one that is read in part would be a signer
// that nobody misses.
func readKeys(files []recipes.Key) (k keys, err error) {
	for _, file := range files {
		switch path.Ext(file.File) {
		case ".asc":
			err = k.addPGP(file.Data)
		case ".pub":
			err = k.addSSH(file.Data)
		default:
			err = errors.New("it is called neither .asc nor .pub")
		}
		if err != nil {
			return keys{}, fmt.Errorf("reading the key %s: %w", file.File, err)
		}
	}
	return k, nil
}

// addPGP reads armored blocks of public keys. Text between them is not.
func (k *keys) addPGP(data []byte) error {
	const begin = "-----BEGIN PGP "
	parts := strings.Split("\n"+string(data), "\n"+begin)
	if len(parts) == 1 {
		return errors.New("it has no armored OpenPGP key")
	}
	for _, part := range parts[1:] {
		block, err := armor.Decode(strings.NewReader(begin + part))
		if err != nil {
			return err
		}
		if block.Type != openpgp.PublicKeyType {
			return fmt.Errorf("it has a %s where public keys are to be", block.Type)
		}
		packets := packet.NewReader(block.Body)
		for {
			entity, err := openpgp.ReadEntity(packets)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			k.pgp = append(k.pgp, entity)
		}
	}
	return nil
}

// addSSH reads lines of authorized_keys. What that form can add to a key
// (options, certificates) is refused, since it has no effect here.
func (k *keys) addSSH(data []byte) error {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, options, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return err
		}
		if _, is := key.(*ssh.Certificate); is || len(options) > 0 {
			return errors.New("it has a certificate or options where plain keys are to be")
		}
		k.ssh = append(k.ssh, key)
	}
	return nil
}

// readPGP reads a signature block that has nothing but one signature.
func readPGP(text []byte) (*packet.Signature, error) {
	trimmed := strings.TrimSpace(string(text))
	if !strings.HasPrefix(trimmed, pgpBegin) || !strings.HasSuffix(trimmed, pgpEnd) || strings.Count(trimmed, pgpEnd) != 1 {
		return nil, errors.New("its OpenPGP signature does not end, or is not the end of the tag")
	}
	block, err := armor.Decode(strings.NewReader(trimmed))
	if err != nil {
		return nil, err
	}
	packets := packet.NewReader(block.Body)
	first, err := packets.Next()
	if err != nil {
		return nil, err
	}
	sig, ok := first.(*packet.Signature)
	if _, err := packets.Next(); !ok || err != io.EOF {
		return nil, errors.New("its OpenPGP block is not one signature")
	}
	return sig, nil
}

func issuer(sig *packet.Signature) string {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return fmt.Sprintf("openpgp:%X", sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("openpgp:%016X", *sig.IssuerKeyId)
	}
	return "an OpenPGP key that is not named"
}

// strong are the hashes under which nobody finds two contents.
var strong = map[crypto.Hash]bool{
	crypto.SHA256: true, crypto.SHA384: true, crypto.SHA512: true, crypto.SHA3_256: true, crypto.SHA3_512: true,
}

// verifyPGP says which key's owner made the signature.
func (k keys) verifyPGP(t tagObject) (string, error) {
	sig, err := readPGP(t.signature)
	switch {
	case err != nil:
		return "", err
	case sig.SigType != packet.SigTypeBinary:
		return "", fmt.Errorf("its signature is of type %#x, and not over bytes", uint8(sig.SigType))
	case !strong[sig.Hash]:
		return "", fmt.Errorf("its signature is over a weak hash, %v", sig.Hash)
	case sig.IssuerKeyId == nil || sig.CreationTime.IsZero():
		return "", errors.New("its signature names no key or no time")
	}
	why := fmt.Errorf("it is signed by %s, which is none of them or may not sign", issuer(sig))
	for _, key := range k.pgp.KeysByIdUsage(*sig.IssuerKeyId, packet.KeyFlagSign) {
		if why = checkPGP(key, sig, t); why == nil {
			return fmt.Sprintf("openpgp:%X", key.Entity.PrimaryKey.Fingerprint), nil
		}
	}
	return "", why
}

// checkPGP checks a signature that names key.
func checkPGP(key openpgp.Key, sig *packet.Signature, t tagObject) error {
	primary, identity := key.Entity.PrimarySelfSignature()
	if primary == nil || key.SelfSignature == nil {
		return errors.New("the key has no signature of its own")
	}
	// Who has stolen a key can sign with any time, so a revocation is one for all
	// times, whatever reason it gives.
	if len(key.Entity.Revocations) > 0 || len(key.Revocations) > 0 || identity != nil && len(identity.Revocations) > 0 {
		return fmt.Errorf("the key %X is revoked", key.PublicKey.Fingerprint)
	}
	if bits, err := key.PublicKey.BitLength(); rsaKey(key.PublicKey) && (err != nil || bits < minRSA) {
		return fmt.Errorf("the key %X has fewer than %d bits", key.PublicKey.Fingerprint, minRSA)
	}
	// The key has to be valid at the time of the signature. What says until when it
	// is may be younger, where its owner prolonged it: then it has to be valid when
	// that was said, too.
	at := sig.CreationTime
	if key.Entity.PrimaryKey.CreationTime.After(at) || key.PublicKey.CreationTime.After(at) {
		return fmt.Errorf("the key %X is younger than the signature", key.PublicKey.Fingerprint)
	}
	for _, own := range []*packet.Signature{primary, key.SelfSignature, key.SelfSignature.EmbeddedSignature} {
		if own != nil && own.CreationTime.After(at) {
			at = own.CreationTime
		}
	}
	only := openpgp.EntityList{key.Entity}
	_, err := openpgp.CheckArmoredDetachedSignature(only, bytes.NewReader(t.signed), bytes.NewReader(t.signature), &packet.Config{Time: func() time.Time { return at }})
	if err != nil {
		return fmt.Errorf("the signature of %X, held against it: %w", key.PublicKey.Fingerprint, err)
	}
	return nil
}

func rsaKey(key *packet.PublicKey) bool {
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoRSAEncryptOnly, packet.PubKeyAlgoDSA:
		return true
	}
	return false
}

// readSSH reads a signature block that has nothing behind it.
func readSSH(text []byte) (*sshsig.Signature, error) {
	block, rest := pem.Decode(text)
	if block == nil || !bytes.HasPrefix(text, []byte(sshBegin)) || block.Type != sshsig.PEMType || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("its SSH signature does not end, or is not the end of the tag")
	}
	return sshsig.ParseSignature(block.Bytes)
}

func sshName(key ssh.PublicKey) string { return "ssh:" + ssh.FingerprintSHA256(key) }

// verifySSH says which key made the signature.
func (k keys) verifySSH(t tagObject) (string, error) {
	sig, err := readSSH(t.signature)
	if err != nil {
		return "", err
	}
	for _, key := range k.ssh {
		if !bytes.Equal(key.Marshal(), sig.PublicKey.Marshal()) {
			continue
		}
		if err := strongSSH(key); err != nil {
			return "", err
		}
		if err := sshsig.Verify(bytes.NewReader(t.signed), sig, key, sig.HashAlgorithm, namespace); err != nil {
			return "", fmt.Errorf("the signature of %s, held against it: %w", sshName(key), err)
		}
		return sshName(key), nil
	}
	return "", fmt.Errorf("it is signed by %s, which is none of them", sshName(sig.PublicKey))
}

// strongSSH refuses keys that are too short, and DSA's, which cannot be long.
func strongSSH(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256:
		return nil
	case ssh.KeyAlgoRSA:
		if plain, ok := key.(ssh.CryptoPublicKey); ok {
			if rsa, ok := plain.CryptoPublicKey().(*rsa.PublicKey); ok && rsa.N.BitLen() >= minRSA {
				return nil
			}
		}
	}
	return fmt.Errorf("the key %s is of type %s, or has fewer than %d bits", sshName(key), key.Type(), minRSA)
}
