package bundle

// Claimed is who a bundle says has signed it, a key or an identity, for whoever
// has just signed and wants to know what he is called. Nobody has confirmed it:
// what is to be believed comes from OpenSignature and OpenAttestation alone.
func Claimed(data []byte) (Signer, error) {
	b, err := parse(data)
	if err != nil {
		return Signer{}, err
	}
	if b.certificate == nil {
		return Signer{KeyID: b.keyID}, nil
	}
	return Identify(b.certificate)
}
