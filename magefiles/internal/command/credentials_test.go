package command

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// A helper of docker's tells a password, and sees what it may need for that,
// but nothing that is signed with.
func TestCredentials(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the helper is a script of sh")
	}
	dir := t.TempDir()
	for file, text := range map[string]string{
		"docker-credential-look": "#!/bin/sh\nenv >\"$SEEN\"\necho '{\"Username\":\"ali\",\"Secret\":\"open sesame\"}'\n",
		"config.json":            `{"credHelpers":{"registry.example":"look"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	seen := filepath.Join(dir, "seen")
	for key, value := range map[string]string{
		"HOME": dir, "DOCKER_CONFIG": dir, "PATH": dir + string(os.PathListSeparator) + os.Getenv("PATH"), "SEEN": seen, "AWS_PROFILE": "needed",
		"COSIGN_PASSWORD": "hunter2", "SIGSTORE_ID_TOKEN": "hunter2", "ACTIONS_ID_TOKEN_REQUEST_URL": "hunter2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "hunter2",
	} {
		t.Setenv(key, value)
	}
	repository, err := name.NewRepository("registry.example/palisade")
	if err != nil {
		t.Fatal(err)
	}
	auth, err := authn.Resolve(context.Background(), credentials, repository)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := authn.Authorization(context.Background(), auth); err != nil || got.Username != "ali" || got.Password != "open sesame" {
		t.Errorf("%+v, %v", got, err)
	}
	env, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(env), "AWS_PROFILE=needed") || strings.Contains(string(env), "hunter2") {
		t.Errorf("the helper sees\n%s", env)
	}
	if os.Getenv("COSIGN_PASSWORD") != "hunter2" {
		t.Error("who signs later has no password")
	}
}

// What DOCKER_AUTH_CONFIG says is known in a home that has no file of docker's, and
// of no other registry.
func TestCredentialsOfAVariable(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("DOCKER_AUTH_CONFIG", `{"auths":{"registry.example":{"auth":"YWxpOm9wZW4gc2VzYW1l"}}}`)
	for registry, want := range map[string]string{"registry.example": "ali open sesame", "other.example": " "} {
		repository, err := name.NewRepository(registry + "/palisade")
		if err != nil {
			t.Fatal(err)
		}
		auth, err := authn.Resolve(t.Context(), credentials, repository)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := authn.Authorization(t.Context(), auth); err != nil || got.Username+" "+got.Password != want {
			t.Errorf("%s: %+v, %v", registry, got, err)
		}
	}
}
