package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSigning(t *testing.T) {
	_, home := checkout(t)
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	user, err := os.UserConfigDir()
	if err != nil || !strings.HasPrefix(user, home) {
		t.Fatal(user, err)
	}
	if want := filepath.Join(user, "palisade", "cosign.key"); c.Signing != (Signing{Key: want}) || c.Run != "" {
		t.Errorf("got %+v, want %s", c.Signing, want)
	}
	for name, value := range map[string]string{
		"PALISADE_KEY": "awskms://k", "COSIGN_PASSWORD": "", "PALISADE_SIGNING_CONFIG": "c", "PALISADE_TRUSTED_ROOT": "r", "PALISADE_TOKEN_FILE": "f",
		"SIGSTORE_ID_TOKEN": "t", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://a", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "b",
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2",
	} {
		t.Setenv(name, value)
	}
	if c, err = Load(); err != nil {
		t.Fatal(err)
	}
	s := c.Signing
	if !s.Password.Given() || s.Password.Reveal() != "" || s.Token.Reveal() != "t" || s.RequestToken.Reveal() != "b" {
		t.Error("secrets are not what was given")
	}
	s.Password, s.Token, s.RequestToken = Secret{}, Secret{}, Secret{}
	if s != (Signing{Key: "awskms://k", KeyChosen: true, Config: "c", Root: "r", TokenFile: "f", RequestURL: "https://a"}) || c.Run != "https://github.example/o/r/actions/runs/7/attempts/2" {
		t.Errorf("got %+v, %s", c.Signing, c.Run)
	}
	// Without a home there is no key, and whoever needs none is not stopped.
	t.Setenv("PALISADE_KEY", "")
	t.Setenv("HOME", "")
	t.Setenv("PALISADE_CACHE", "/some/cache")
	if c, err = Load(); err != nil || c.Signing.Key != "" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestPublicKey(t *testing.T) {
	for private, want := range map[string]string{"/a/cosign.key": "/a/cosign.pub", "/a/key": "/a/key.pub", "/a.key/b": "/a.key/b.pub"} {
		if got := PublicKey(private); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// However a configuration is printed, a secret is not.
func TestSecret(t *testing.T) {
	c := Config{Signing: Signing{Password: NewSecret("hush"), Token: NewSecret("hush"), RequestToken: NewSecret("hush")}}
	var all strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		fmt.Fprintf(&all, verb+" ", c)
		fmt.Fprintf(&all, verb+" ", &c)
		fmt.Fprintf(&all, verb+" ", c.Signing.Password)
		fmt.Fprintf(&all, verb+" ", &c.Signing.Password)
	}
	data, err := json.Marshal(c.Signing)
	if err != nil {
		t.Fatal(err)
	}
	all.Write(data)
	for _, shown := range []string{"hush", fmt.Sprintf("%x", "hush"), fmt.Sprint([]byte("hush"))} {
		if strings.Contains(all.String(), shown) {
			t.Errorf("%s is shown in %s", shown, all.String())
		}
	}
	if NewSecret("hush").Reveal() != "hush" || fmt.Sprint(Secret{}) != "(none)" {
		t.Error("a secret is not what it was given")
	}
}
