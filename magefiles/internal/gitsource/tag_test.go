package gitsource

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"palisade/recipes"
)

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// signed is when every tag of these tests was signed.
var signed = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)

func at(when time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return when }, Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256}
}

// pgp is an OpenPGP key that was made a year before.
func pgp(t testing.TB, change ...func(*openpgp.Entity)) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Drummer", "", "drummer@example.org", at(signed.AddDate(-1, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(e)
	}
	return e
}

func publicOf(t testing.TB, all ...*openpgp.Entity) recipes.Key {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := e.Serialize(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return recipes.Key{File: "drummer.asc", Data: out.Bytes()}
}

func (f *forge) signPGP(text string, e *openpgp.Entity, config *packet.Config) string {
	f.t.Helper()
	var out bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&out, e, strings.NewReader(text), config); err != nil {
		f.t.Fatal(err)
	}
	return out.String() + "\n"
}

func sshKey(t testing.TB) (ssh.Signer, recipes.Key) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, recipes.Key{File: "drummer.pub", Data: ssh.MarshalAuthorizedKey(signer.PublicKey())}
}

func (f *forge) signSSH(text string, s ssh.Signer, namespace string) string {
	f.t.Helper()
	signature, err := sshsig.Sign(strings.NewReader(text), s, sshsig.HashSHA512, namespace)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(sshsig.Armor(signature))
}

// tagText is what is signed of a tag.
func tagText(name, commit string) string {
	return fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger A <a@example.org> %d +0000\n\nbeat\n", commit, name, signed.Unix())
}

// tag puts a tag object there.
func (f *forge) tag(name, text string) {
	f.t.Helper()
	f.run("", "update-ref", "refs/tags/"+name, f.run(text, "hash-object", "-t", "tag", "-w", "--stdin"))
}

func TestTag(t *testing.T) {
	right, wrong := pgp(t), pgp(t)
	rightSSH, rightPub := sshKey(t)
	_, wrongPub := sshKey(t)
	shortSSH, shortPub := shortKey(t)
	fingerprint := fmt.Sprintf("openpgp:%X", right.PrimaryKey.Fingerprint)
	lifetime := func(d time.Duration) func(*openpgp.Entity) {
		return func(e *openpgp.Entity) {
			seconds := uint32(d / time.Second)
			for _, id := range e.Identities {
				id.SelfSignature.KeyLifetimeSecs = &seconds
				if err := id.SelfSignature.SignUserId(id.UserId.Id, e.PrimaryKey, e.PrivateKey, at(signed.AddDate(-1, 0, 0))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	both := []recipes.Key{publicOf(t, wrong, right), rightPub}
	for name, test := range map[string]struct {
		sign     func(f *forge, text string) string // the signature
		change   func(text string) string           // after it was signed
		keys     []recipes.Key
		unsigned string
		signer   string // or, where it is refused
		says     string
	}{
		"OpenPGP":                           {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: both, signer: fingerprint},
		"SSH":                               {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, keys: both, signer: "ssh:" + ssh.FingerprintSHA256(rightSSH.PublicKey())},
		"SSH, the second key of a file":     {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, keys: []recipes.Key{{File: "all.pub", Data: append(append([]byte("# drummers\n"), wrongPub.Data...), rightPub.Data...)}}, signer: "ssh:" + ssh.FingerprintSHA256(rightSSH.PublicKey())},
		"stated to be unsigned":             {unsigned: "Nobody signs here."},
		"a key that is to expire":           {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{publicOf(t, reborn(t, right, lifetime(400*24*time.Hour)))}, signer: fingerprint},
		"OpenPGP, another key":              {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{publicOf(t, wrong)}, says: "which is none of them or may not sign"},
		"OpenPGP, keys of SSH alone":        {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{rightPub}, says: "which is none of them"},
		"SSH, another key":                  {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, keys: []recipes.Key{wrongPub}, says: "which is none of them"},
		"SSH, keys of OpenPGP alone":        {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, keys: []recipes.Key{publicOf(t, right)}, says: "which is none of them"},
		"SSH, signed for something else":    {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "file") }, keys: both, says: "namespace does not match"},
		"OpenPGP, another text":             {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, change: func(s string) string { return strings.Replace(s, "\n\nbeat", "\n\nbeet", 1) }, keys: both, says: "held against it"},
		"SSH, another text":                 {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, change: func(s string) string { return strings.Replace(s, "\n\nbeat", "\n\nbeet", 1) }, keys: both, says: "held against it"},
		"a key that had expired":            {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{publicOf(t, reborn(t, right, lifetime(24*time.Hour)))}, says: "expired"},
		"a key that was revoked":            {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{publicOf(t, revoked(t, right))}, says: "revoked"},
		"no signature":                      {keys: both, says: "v0.9.1 bears no signature"},
		"signed, and stated that it is not": {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, unsigned: "Nobody does.", says: "the recipe says that v0.9.1 is unsigned, and it is signed by ssh:SHA256:"},
		"a signature of another kind":       {sign: func(*forge, string) string { return "-----BEGIN SIGNED MESSAGE-----\nx\n" }, keys: both, says: "neither of OpenPGP nor of SSH"},
		"half a signature":                  {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git")[:60] + "\n" }, keys: both, says: "does not end"},
		"another's name": {sign: func(f *forge, s string) string {
			return f.signSSH(strings.Replace(s, "tag v0.9.1", "tag v0.9.0", 1), rightSSH, "git")
		}, change: func(s string) string { return strings.Replace(s, "tag v0.9.1", "tag v0.9.0", 1) }, keys: both, says: `what is called v0.9.1 says that it is "v0.9.0"`},
		"a key that was prolonged since": {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{publicOf(t, reborn(t, right, prolonged(t)))}, signer: fingerprint},
		"a private key":                  {sign: func(f *forge, s string) string { return f.signPGP(s, right, at(signed)) }, keys: []recipes.Key{privateOf(t, right)}, says: "where public keys are to be"},
		"a key that is short":            {sign: func(f *forge, s string) string { return f.signSSH(s, shortSSH, "git") }, keys: []recipes.Key{shortPub}, says: "has fewer than 2048 bits"},
		"a key with options":             {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, keys: []recipes.Key{{File: "o.pub", Data: append([]byte("cert-authority "), rightPub.Data...)}}, says: "a certificate or options"},
		"a file of no keys":              {sign: func(f *forge, s string) string { return f.signSSH(s, rightSSH, "git") }, keys: []recipes.Key{{File: "x.pub", Data: []byte("nonsense")}}, says: "reading the key x.pub"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t)
			g := f.source(f.commit(drum), drum)
			g.Tag, g.Unsigned, g.Keys = "v0.9.1", test.unsigned, test.keys
			text := tagText(g.Tag, g.Commit)
			signature := ""
			if test.sign != nil {
				signature = test.sign(f, text)
			}
			if test.change != nil {
				text = test.change(text)
			}
			f.tag(g.Tag, text+signature)
			tree, err := f.client().Fetch(t.Context(), g)
			if test.says == "" {
				if err != nil || tree.SignedBy != test.signer || tree.Artifact().SignedBy != test.signer {
					t.Errorf("signed by %q, %v; want %q", tree.SignedBy, err, test.signer)
				}
			} else if !errors.Is(err, ErrTag) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got  %v\nwant %s", err, test.says)
			}
		})
	}
}

// reborn is e with other self-signatures: who signed before still did.
func reborn(t testing.TB, e *openpgp.Entity, change func(*openpgp.Entity)) *openpgp.Entity {
	t.Helper()
	var out bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&out, nil); err != nil {
		t.Fatal(err)
	}
	all, err := openpgp.ReadKeyRing(&out)
	if err != nil {
		t.Fatal(err)
	}
	change(all[0])
	return all[0]
}

// prolonged has a key's owner say, after the signature, until when it is valid.
func prolonged(t testing.TB) func(*openpgp.Entity) {
	return func(e *openpgp.Entity) {
		seconds := uint32(5 * 365 * 24 * time.Hour / time.Second)
		for _, id := range e.Identities {
			id.SelfSignature.KeyLifetimeSecs, id.SelfSignature.CreationTime = &seconds, signed.AddDate(0, 2, 0)
			if err := id.SelfSignature.SignUserId(id.UserId.Id, e.PrimaryKey, e.PrivateKey, at(signed.AddDate(0, 2, 0))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func privateOf(t testing.TB, e *openpgp.Entity) recipes.Key {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.SerializePrivateWithoutSigning(w, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	return recipes.Key{File: "drummer.asc", Data: out.Bytes()}
}

// shortKey is one that a machine of today breaks.
func shortKey(t testing.TB) (ssh.Signer, recipes.Key) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, recipes.Key{File: "short.pub", Data: ssh.MarshalAuthorizedKey(signer.PublicKey())}
}

func revoked(t testing.TB, e *openpgp.Entity) *openpgp.Entity {
	t.Helper()
	return reborn(t, e, func(e *openpgp.Entity) {
		if err := e.RevokeKey(packet.KeyCompromised, "lost", at(signed.AddDate(0, 1, 0))); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTagIsElsewhere(t *testing.T) {
	f := newForge(t)
	g := f.source(f.commit(drum), drum)
	g.Tag, g.Unsigned = "v0.9.1", "Nobody signs here."
	c := f.client()
	if _, err := c.Fetch(t.Context(), g); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "refs/tags/v0.9.1") {
		t.Errorf("a tag that is not there: %v", err)
	}
	moved := f.commit(map[string]string{"other": ""})
	f.run("", "update-ref", "refs/tags/v0.9.1", moved)
	if _, err := c.Fetch(t.Context(), g); !errors.Is(err, ErrTag) || !strings.Contains(err.Error(), "v0.9.1 is at "+moved) {
		t.Errorf("a tag that was moved: %v", err)
	}
	f.tag("v0.9.1", tagText("v0.9.1", moved))
	if _, err := c.Fetch(t.Context(), g); !errors.Is(err, ErrTag) {
		t.Errorf("one with a text that was moved: %v", err)
	}
	f.run("", "update-ref", "refs/tags/v0.9.1", g.Commit)
	if tree, err := c.Fetch(t.Context(), g); err != nil || tree.SignedBy != "" {
		t.Errorf("one with no text: %v", err)
	}
}

// What is read is told apart into what is signed and the signature, and nothing is
// lost.
func FuzzParseTag(f *testing.F) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	text := tagText("v1", commit)
	for _, s := range []string{"", text, text + pgpBegin + "\nx\n", text + sshBegin + "\n" + sshBegin, "\n\n", text[:40], strings.Replace(text, "\n\n", "\n"+sshBegin+"\n\n", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tag, err := parseTag([]byte(s))
		if err != nil {
			return
		}
		if string(tag.signed)+string(tag.signature) != s || !strings.HasPrefix(s, "object "+tag.object+"\ntype "+tag.kind+"\ntag "+tag.name+"\n") {
			t.Errorf("%q was read as %q", s, tag)
		}
		if _, message, _ := strings.Cut(s, "\n\n"); strings.Contains("\n"+message, "\n"+sshBegin) && len(tag.signature) == 0 {
			t.Errorf("the signature of %q was not seen", s)
		}
		_, _ = keys{}.verify(tag)
	})
}
