package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Signing is what signs, and with what.
type Signing struct {
	Key       string // the private key: a file, or NAME://KEY of a key service; "" if the user has no directory for it
	KeyChosen bool   // the user named it
	Password  Secret // of the file; not Given if nobody said any
	Config    string // signing_config.json of Sigstore's services, "" for none
	Root      string // trusted_root.json
	TokenFile string // that holds an OIDC token
	Token     Secret // an OIDC token itself
	// What GitHub Actions gives a job that may ask for a token.
	RequestURL   string
	RequestToken Secret
}

// secrets are the variables that no command that is started may see; with those
// of signing one can sign.
var (
	secrets = append([]string{"DOCKER_AUTH_CONFIG"}, signing...)
	signing = []string{"COSIGN_PASSWORD", "SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"}
)

// HideSecrets takes what one can sign with out of the environment of this
// process, for as long as a library starts programs of others that inherit it,
// and returns what puts it back.
func HideSecrets() (restore func()) {
	hidden := map[string]string{}
	for _, name := range signing {
		if value, given := os.LookupEnv(name); given {
			hidden[name] = value
			os.Unsetenv(name)
		}
	}
	return func() {
		for name, value := range hidden {
			os.Setenv(name, value)
		}
	}
}

func loadSigning() Signing {
	s := Signing{
		Key:        os.Getenv("PALISADE_KEY"),
		Password:   secretOf("COSIGN_PASSWORD"),
		Config:     os.Getenv("PALISADE_SIGNING_CONFIG"),
		Root:       os.Getenv("PALISADE_TRUSTED_ROOT"),
		TokenFile:  os.Getenv("PALISADE_TOKEN_FILE"),
		Token:      secretOf("SIGSTORE_ID_TOKEN"),
		RequestURL: os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), RequestToken: secretOf("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
	}
	s.KeyChosen = s.Key != ""
	if dir, err := os.UserConfigDir(); !s.KeyChosen && err == nil {
		s.Key = filepath.Join(dir, "palisade", "cosign.key")
	}
	return s
}

// PublicKey is the file that holds the public key of a private one.
func PublicKey(private string) string { return strings.TrimSuffix(private, ".key") + ".pub" }

// workflowRun is the address of the run of GitHub Actions that this process
// belongs to.
func workflowRun() string {
	if os.Getenv("GITHUB_ACTIONS") != "true" || os.Getenv("GITHUB_RUN_ID") == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s/actions/runs/%s/attempts/%s", os.Getenv("GITHUB_SERVER_URL"), os.Getenv("GITHUB_REPOSITORY"),
		os.Getenv("GITHUB_RUN_ID"), os.Getenv("GITHUB_RUN_ATTEMPT"))
}

// A Secret is a value that is never shown, however a Config is printed.
type Secret struct {
	value *string // what prints a struct field by field does not follow it
}

// NewSecret is a secret that was given.
func NewSecret(value string) Secret { return Secret{&value} }

func secretOf(name string) Secret {
	value, given := os.LookupEnv(name)
	if !given {
		return Secret{}
	}
	return NewSecret(value)
}

// Given reports whether there is one, be it empty.
func (s Secret) Given() bool { return s.value != nil }

// Reveal is the value, empty where none was given.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Format shows that there is a secret, and no more.
func (s Secret) Format(f fmt.State, _ rune) {
	if s.Given() {
		fmt.Fprint(f, "(secret)")
	} else {
		fmt.Fprint(f, "(none)")
	}
}

// MarshalText does what Format does.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }
