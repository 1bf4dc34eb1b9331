package keys

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/signing"
	"palisade/attestations/signing/keyfile"
	"palisade/attestations/signing/kms"
	"palisade/magefiles/internal/config"
)

// place is where a user's key would be.
func place(t *testing.T) config.Signing {
	t.Helper()
	return config.Signing{Key: filepath.Join(t.TempDir(), "palisade", "cosign.key")}
}

// answers is a person who answers so, and is asked no more often.
func answers(t *testing.T, all ...string) Ask {
	t.Helper()
	return func(_ context.Context, prompt string) ([]byte, error) {
		if len(all) == 0 {
			t.Errorf("asked %q too", prompt)
			return nil, errors.New("nobody answers")
		}
		answer := all[0]
		all = all[1:]
		return []byte(answer), nil
	}
}

func generated(t *testing.T, s config.Signing, ask Ask) Made {
	t.Helper()
	made, err := Generate(t.Context(), s, ask)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestGenerate(t *testing.T) {
	for _, tt := range []struct {
		name, password string // that opens it
		said           config.Secret
		ask            Ask
	}{
		{"nobody there", "", config.Secret{}, nil},
		{"in a variable", "hush", config.NewSecret("hush"), answers(t)},
		{"none, in a variable", "", config.NewSecret(""), answers(t)},
		{"asked for", "hush", config.Secret{}, answers(t, "hush", "hush")},
		{"asked for, and none", "", config.Secret{}, answers(t, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := place(t)
			s.Password = tt.said
			made := generated(t, s, tt.ask)
			if made.Private != s.Key || made.Public != config.PublicKey(s.Key) || made.ID == "" || made.Protected != (tt.password != "") {
				t.Errorf("got %+v", made)
			}
			for name, want := range map[string]fs.FileMode{made.Private: 0o600, filepath.Dir(made.Private): 0o700 | fs.ModeDir} {
				if info, err := os.Stat(name); err != nil || info.Mode() != want {
					t.Errorf("%s: %v, %v", name, info.Mode(), err)
				}
			}
			private, err := os.ReadFile(made.Private)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := keyfile.Load(private, []byte(tt.password)); err != nil {
				t.Errorf("its password is another: %v", err)
			}
			// Nobody loses a key.
			if _, err := Generate(t.Context(), s, nil); !errors.Is(err, keyfile.ErrExists) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("again: %v", err)
			}
			if again, err := os.ReadFile(made.Private); err != nil || string(again) != string(private) {
				t.Errorf("the key changed: %v", err)
			}
		})
	}
}

func TestGenerateRefuses(t *testing.T) {
	s := place(t)
	if _, err := Generate(t.Context(), s, answers(t, "one", "two")); err == nil || !strings.Contains(err.Error(), "differ") {
		t.Errorf("two passwords: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(s.Key)); err == nil {
		t.Error("it made something")
	}
	for _, key := range []string{"", "awskms://k"} {
		if _, err := Generate(t.Context(), config.Signing{Key: key}, nil); !errors.Is(err, config.ErrUsage) {
			t.Errorf("%q: %v", key, err)
		}
	}
	// A public key alone is somebody's too.
	if err := errors.Join(os.MkdirAll(filepath.Dir(s.Key), 0o700), os.WriteFile(config.PublicKey(s.Key), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := Generate(t.Context(), s, nil); !errors.Is(err, keyfile.ErrExists) {
		t.Errorf("got %v", err)
	}
}

func TestOpen(t *testing.T) {
	open, locked := place(t), place(t)
	generated(t, open, nil)
	generated(t, locked, answers(t, "hush", "hush"))
	for _, tt := range []struct {
		name   string
		s      config.Signing
		said   config.Secret
		ask    Ask
		is     error
		reason string
	}{
		{"without a password", open, config.Secret{}, answers(t), nil, ""},
		{"with one in a variable", locked, config.NewSecret("hush"), answers(t), nil, ""},
		{"asked for, twice wrong", locked, config.Secret{}, answers(t, "", "Hush", "hush"), nil, ""},
		{"asked for, thrice wrong", locked, config.Secret{}, answers(t, "a", "b", "c"), keyfile.ErrPassword, "COSIGN_PASSWORD"},
		{"nobody there", locked, config.Secret{}, nil, keyfile.ErrPassword, "say it in COSIGN_PASSWORD"},
		{"wrong in a variable", locked, config.NewSecret("Hush"), answers(t), keyfile.ErrPassword, "COSIGN_PASSWORD is another's"},
		{"one that it has not", open, config.NewSecret("hush"), answers(t), keyfile.ErrPassword, "COSIGN_PASSWORD is another's"},
		{"no key", place(t), config.Secret{}, nil, ErrNone, "mage keys:generate"},
		{"no place", config.Signing{}, config.Secret{}, nil, ErrNone, "PALISADE_KEY"},
		{"a service without its plugin", config.Signing{Key: "nosuchkms://k"}, config.Secret{}, nil, kms.ErrPlugin, "nosuchkms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.Password = tt.said
			key, err := Open(t.Context(), tt.s, tt.ask)
			if !errors.Is(err, tt.is) || (key == nil) != (tt.is != nil) {
				t.Fatalf("got %v, want %v", err, tt.is)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.reason) || strings.Contains(err.Error(), "Hush")) {
				t.Errorf("got %v, want %s", err, tt.reason)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T, s *config.Signing)
	}{
		{"damaged", "not PEM", func(t *testing.T, s *config.Signing) { write(t, s.Key, "no key") }},
		{"cut short", "the key ", func(t *testing.T, s *config.Signing) {
			if err := os.Truncate(s.Key, 300); err != nil {
				t.Fatal(err)
			}
		}},
		{"readable by others", "chmod 600", func(t *testing.T, s *config.Signing) { chmod(t, s.Key, 0o640) }},
		{"changeable by others, where the user has it", "chmod 600", func(t *testing.T, s *config.Signing) {
			s.KeyChosen = true
			chmod(t, s.Key, 0o660)
		}},
		{"the public key of another", "it is of another key: remove it", func(t *testing.T, s *config.Signing) {
			other := place(t)
			generated(t, other, nil)
			data, err := os.ReadFile(config.PublicKey(other.Key))
			if err != nil {
				t.Fatal(err)
			}
			write(t, config.PublicKey(s.Key), string(data))
		}},
		{"no public key", "remove it", func(t *testing.T, s *config.Signing) { write(t, config.PublicKey(s.Key), "no key") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := place(t)
			generated(t, s, nil)
			tt.change(t, &s)
			if _, err := Open(t.Context(), s, nil); !errors.Is(err, signing.ErrKey) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	// A folder of secrets may be readable, and need not hold the public key.
	s := place(t)
	made := generated(t, s, nil)
	s.KeyChosen = true
	chmod(t, s.Key, 0o444)
	if err := os.Remove(made.Public); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s, nil); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// The private key is left alone until something is to be signed.
func TestHand(t *testing.T) {
	s := place(t)
	if _, err := Hand(t.Context(), s, time.Now, nil); !errors.Is(err, ErrNone) {
		t.Fatalf("without a key: %v", err)
	}
	made := generated(t, s, answers(t, "hush", "hush"))
	h, err := Hand(t.Context(), s, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := os.ReadFile(made.Public); err != nil || string(h.Public) != string(public) {
		t.Errorf("got %s, %v", h.Public, err)
	}
	content, err := signing.File(artifact.DigestBytes(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(t.Context()); err == nil {
		t.Error("it opened without its password")
	}
	h, err = Hand(t.Context(), s, time.Now, answers(t, "hush"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := h.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := signer.Sign(t.Context(), content)
	if err == nil {
		_, err = content.Open(data, *h.Trust)
	}
	if err != nil || signer.Identity() != "key "+made.ID {
		t.Errorf("%s: %v", signer.Identity(), err)
	}
	// Without the public key the private one has to say which it is.
	if err := os.Remove(made.Public); err != nil {
		t.Fatal(err)
	}
	if again, err := Hand(t.Context(), s, time.Now, answers(t, "hush")); err != nil || string(again.Public) != string(h.Public) {
		t.Errorf("got %v", err)
	}
}

func TestHandOfServices(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	write(t, file, "{}")
	for _, tt := range []struct {
		name string
		s    config.Signing
		is   error
		want string
	}{
		{"no such file", config.Signing{Config: filepath.Join(dir, "none")}, config.ErrUsage, "PALISADE_SIGNING_CONFIG"},
		{"nobody believed", config.Signing{Config: file}, config.ErrUsage, "PALISADE_TRUSTED_ROOT"},
		{"no such root", config.Signing{Config: file, Root: filepath.Join(dir, "none")}, config.ErrUsage, "PALISADE_TRUSTED_ROOT"},
		{"no token", config.Signing{Config: file, Root: file}, ErrNone, "PALISADE_TOKEN_FILE"},
		{"no key", config.Signing{Config: file, Root: file, KeyChosen: true, Key: filepath.Join(dir, "none")}, ErrNone, "PALISADE_KEY"},
	} {
		if _, err := Hand(t.Context(), tt.s, time.Now, nil); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	h, err := Hand(t.Context(), config.Signing{Config: file, Root: file, Token: config.NewSecret("t")}, time.Now, nil)
	if err != nil || h.Trust != nil || h.Public != nil || string(h.Root) != "{}" {
		t.Errorf("an identity: %+v, %v", h, err)
	}
}
