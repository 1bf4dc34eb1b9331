package keyfile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"palisade/attestations/bundle"
	"palisade/attestations/signing"
	"palisade/attestations/signing/keyfile"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestGenerate(t *testing.T) {
	for _, password := range []string{"", "correct horse"} {
		private, public, err := keyfile.Generate([]byte(password))
		if err != nil {
			t.Fatal(err)
		}
		key := must(keyfile.Load(private, []byte(password)))(t)
		if derived := must(signing.MarshalPublicKey(key.Public()))(t); !bytes.Equal(derived, public) {
			t.Errorf("the public key is %s, derived from the private key it is %s", public, derived)
		}
		digest := sha256.Sum256([]byte("x"))
		sig := must(key.SignDigest(context.Background(), digest[:]))(t)
		if err := bundle.Check(must(signing.ParsePublicKey(public))(t), digest[:], sig); err != nil {
			t.Error(err)
		}
		if _, err := keyfile.Load(private, []byte("wrong")); !errors.Is(err, keyfile.ErrPassword) {
			t.Errorf("a wrong password: %v", err)
		}
	}
}

// Keys that cosign v2 and v3 made are read.
func TestCosignKeys(t *testing.T) {
	for _, version := range []string{"v2", "v3"} {
		private := must(os.ReadFile(filepath.Join("testdata", version+".key")))(t)
		public := must(os.ReadFile(filepath.Join("testdata", version+".pub")))(t)
		key := must(keyfile.Load(private, []byte("palisade")))(t)
		if derived := must(signing.MarshalPublicKey(key.Public()))(t); !bytes.Equal(derived, public) {
			t.Errorf("%s: the public key is\n%swant\n%s", version, derived, public)
		}
		former := bytes.ReplaceAll(private, []byte("SIGSTORE"), []byte("COSIGN")) // up to 1.13
		if again := must(keyfile.Load(former, []byte("palisade")))(t); !reflect.DeepEqual(again.Public(), key.Public()) {
			t.Errorf("%s: another key under the former name of the block", version)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	good := string(must(os.ReadFile("testdata/v2.key"))(t))
	block, _ := pem.Decode([]byte(good))
	sealed := func(old, new string) string {
		t.Helper()
		changed := strings.Replace(string(block.Bytes), old, new, 1)
		if changed == string(block.Bytes) {
			t.Fatalf("%s does not hold %s", changed, old)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: []byte(changed)}))
	}
	for _, tt := range []struct {
		name, private string
		want          error
	}{
		{"nothing", "", signing.ErrKey},
		{"not PEM", "key", signing.ErrKey},
		{"a public key", string(must(os.ReadFile("testdata/v2.pub"))(t)), signing.ErrKey},
		{"a key in the clear", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", signing.ErrKey},
		{"two blocks", good + good, signing.ErrKey},
		{"too long", good + strings.Repeat("\n", 1<<16), signing.ErrKey},
		{"not sealed", string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: []byte("x")})), signing.ErrKey},
		{"another cipher", sealed("nacl/secretbox", "none"), signing.ErrKey},
		{"a costly derivation", sealed(`"N":65536`, `"N":1073741824`), signing.ErrKey},
		{"a changed ciphertext", sealed(`"ciphertext":"`, `"ciphertext":"AAAA`), keyfile.ErrPassword},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := keyfile.Load([]byte(tt.private), []byte("palisade")); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	private, public := filepath.Join(dir, "cosign.key"), filepath.Join(dir, "cosign.pub")
	if err := keyfile.Write(private, public, []byte("private"), []byte("public")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{private: 0o600, public: 0o644} {
		if info := must(os.Stat(name))(t); info.Mode() != mode {
			t.Errorf("%s has mode %s, want %s", name, info.Mode(), mode)
		}
	}

	// One of the two is enough for both to stay as they are.
	for _, there := range []string{private, public} {
		dir := t.TempDir()
		name := filepath.Join(dir, filepath.Base(there))
		if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := keyfile.Write(filepath.Join(dir, "cosign.key"), filepath.Join(dir, "cosign.pub"), []byte("private"), []byte("public"))
		if !errors.Is(err, keyfile.ErrExists) {
			t.Errorf("writing over %s: %v", name, err)
		}
		if entries := must(os.ReadDir(dir))(t); len(entries) != 1 || string(must(os.ReadFile(name))(t)) != "mine" {
			t.Errorf("%v", entries)
		}
	}

	// Half of a pair is none.
	dir = t.TempDir()
	for _, names := range [][2]string{{"none/cosign.key", "cosign.pub"}, {"cosign.key", "none/cosign.pub"}} {
		if err := keyfile.Write(filepath.Join(dir, names[0]), filepath.Join(dir, names[1]), nil, nil); err == nil {
			t.Errorf("%s: written to a folder that is not there", names)
		}
		if entries := must(os.ReadDir(dir))(t); len(entries) > 0 {
			t.Errorf("%s: %v was left", names, entries)
		}
	}
}

// Of several processes, one makes the key.
func TestWriteOnce(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	made := make([]error, 8)
	for i := range made {
		group.Go(func() {
			made[i] = keyfile.Write(filepath.Join(dir, "k"), filepath.Join(dir, "p"), []byte{byte(i)}, []byte{byte(i)})
		})
	}
	group.Wait()
	winner := -1
	for i, err := range made {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("both %d and %d made the key", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, keyfile.ErrExists):
			t.Error(err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody made the key")
	}
	for _, name := range []string{"k", "p"} {
		if got := must(os.ReadFile(filepath.Join(dir, name)))(t); !bytes.Equal(got, []byte{byte(winner)}) {
			t.Errorf("%s is of %d, made by %d", name, got, winner)
		}
	}
}
