package config

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"palisade/attestations/artifact"
)

// checkout makes a checkout the working directory, and an environment in
// which nothing that Load reads is set but HOME and PATH. It returns both
// directories.
func checkout(t *testing.T) (root, home string) {
	t.Helper()
	root, home = t.TempDir(), t.TempDir()
	for _, dir := range []string{"recipes", filepath.Join("patches", "deep")} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "recipes", "distribution.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"PALISADE_CACHE", "PALISADE_DIST", "PALISADE_RELEASE", "PALISADE_VULNDB", "PALISADE_GIT_MIRROR", "BUILDKIT_HOST", "BUILDKIT_TLS_DIR", "BUILDKIT_TLS_SERVER_NAME", "GOPROXY", "GOSUMDB", "npm_config_registry", "NPM_CONFIG_REGISTRY",
		"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TERM", "CI", "PALISADE_KEY", "COSIGN_PASSWORD", "PALISADE_SIGNING_CONFIG", "PALISADE_TRUSTED_ROOT",
		"PALISADE_TOKEN_FILE", "SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
		"GITHUB_ACTIONS", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT",
	} {
		t.Setenv(name, "") // restored afterwards
		os.Unsetenv(name)
	}
	t.Setenv("HOME", home)
	t.Chdir(root)
	return root, home
}

func TestDefaults(t *testing.T) {
	root, home := checkout(t)
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	user, err := os.UserCacheDir()
	if err != nil || !strings.HasPrefix(user, home) {
		t.Fatal(user, err)
	}
	if c.Root != root || c.Dist != filepath.Join(root, "dist") || c.Cache != filepath.Join(user, "palisade") || c.Registry != "https://registry.npmjs.org/" {
		t.Errorf("got %+v", c)
	}
	if c.Host != (artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}) || c.CPUs != runtime.GOMAXPROCS(0) || !filepath.IsAbs(c.Go) {
		t.Errorf("got %+v", c)
	}
	if c.Hermetic || !c.Terminal {
		t.Errorf("got %+v", c)
	}
	if runtime.GOOS == "linux" && c.Memory < 1<<26 {
		t.Errorf("the machine has %d bytes", c.Memory)
	}
}

func TestOverrides(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		got         func(c *Config) any
		want        func(root string) any
	}{
		{"PALISADE_CACHE", "/some/cache", func(c *Config) any { return c.Cache }, func(string) any { return "/some/cache" }},
		{"PALISADE_CACHE", "cache", func(c *Config) any { return c.Cache }, func(root string) any { return filepath.Join(root, "patches", "deep", "cache") }},
		{"PALISADE_RELEASE", "../out", func(c *Config) any { return c.Release }, func(root string) any { return filepath.Join(root, "patches", "out") }},
		{"PALISADE_DIST", "../out", func(c *Config) any { return c.Dist }, func(root string) any { return filepath.Join(root, "patches", "out") }},
		{"PALISADE_VULNDB", "http://localhost/vulndb", func(c *Config) any { return c.VulnDB }, func(string) any { return "http://localhost/vulndb" }},
		{"PALISADE_GIT_MIRROR", "https://localhost/git", func(c *Config) any { return c.GitMirror }, func(string) any { return "https://localhost/git" }},
		{"PALISADE_GIT_MIRROR", "../git", func(c *Config) any { return c.GitMirror }, func(root string) any { return filepath.Join(root, "patches", "git") }},
		{"npm_config_registry", "http://localhost/npm", func(c *Config) any { return c.Registry }, func(string) any { return "http://localhost/npm" }},
		{"NPM_CONFIG_REGISTRY", "http://localhost/NPM", func(c *Config) any { return c.Registry }, func(string) any { return "http://localhost/NPM" }},
		{"XDG_CACHE_HOME", "/another", func(c *Config) any { return c.Cache }, func(string) any {
			user, _ := os.UserCacheDir()
			return filepath.Join(user, "palisade")
		}},
		{"TERM", "dumb", func(c *Config) any { return c.Terminal }, func(string) any { return false }},
		{"CI", "1", func(c *Config) any { return c.Terminal }, func(string) any { return false }},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			root, _ := checkout(t)
			t.Setenv(tt.name, tt.value)
			t.Chdir(filepath.Join(root, "patches", "deep")) // a directory below will do
			c, err := Load()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := tt.got(c), tt.want(root); got != want || c.Root != root {
				t.Errorf("got %v, want %v in %s", got, want, c.Root)
			}
		})
	}
	// npm prefers the one in small letters.
	checkout(t)
	t.Setenv("npm_config_registry", "small")
	t.Setenv("NPM_CONFIG_REGISTRY", "LARGE")
	if c, err := Load(); err != nil || c.Registry != "small" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(t *testing.T)
	}{
		{"no checksum database", "GOSUMDB=off", func(t *testing.T) { t.Setenv("GOSUMDB", "off") }},
		{"no checkout", "is not in a checkout", func(t *testing.T) { t.Chdir(t.TempDir()) }},
		{"no go command", "the go command is not in PATH", func(t *testing.T) { t.Setenv("PATH", t.TempDir()) }},
		{"no home", "set PALISADE_CACHE", func(t *testing.T) { t.Setenv("HOME", "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkout(t)
			tt.change(t)
			if c, err := Load(); !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), tt.want) || c != nil {
				t.Errorf("got %+v, %v, want %s", c, err, tt.want)
			}
		})
	}
	// A git that a relative PATH finds may be the checkout's own.
	root, _ := checkout(t)
	if err := os.WriteFile(filepath.Join(root, "git"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "."+string(filepath.ListSeparator)+filepath.Dir(gocmd))
	if c, err := Load(); err != nil || c.Git != "" && !filepath.IsAbs(c.Git) {
		t.Errorf("git of the checkout: %+v, %v", c, err)
	}
	if err := os.WriteFile(filepath.Join(root, "diffoscope"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(); err != nil || c.Diffoscope != "" {
		t.Errorf("diffoscope of the checkout: %+v, %v", c, err)
	}
	t.Setenv("PATH", root+string(filepath.ListSeparator)+filepath.Dir(gocmd))
	if c, err := Load(); err != nil || c.Diffoscope != filepath.Join(root, "diffoscope") {
		t.Errorf("diffoscope: %+v, %v", c, err)
	}
	checkout(t)
	t.Setenv("HOME", "")
	t.Setenv("PALISADE_CACHE", "/some/cache")
	if _, err := Load(); err != nil {
		t.Errorf("without a home, with PALISADE_CACHE: %v", err)
	}
}

// What could loosen a check, and what is secret, does not reach the commands
// that fetch; what says where to fetch from does.
func TestFetchEnvironment(t *testing.T) {
	checkout(t)
	dropped := []string{
		"GOFLAGS", "GOTOOLCHAIN", "GOMODCACHE", "GOPATH", "GOCACHE", "GOCACHEPROG", "GOROOT", "GOWORK", "GONOSUMDB",
		"GONOSUMCHECK", "GOPRIVATE", "GOINSECURE", "GO111MODULE", "GOEXPERIMENT", "GODEBUG", "GIT_DIR", "GIT_WORK_TREE",
		"GOVCS", "GONOPROXY", "GO", "LD_PRELOAD", "GIT_SSH_COMMAND",
		"COSIGN_PASSWORD", "SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "DOCKER_AUTH_CONFIG",
		"VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY",
	}
	kept := []string{"GOPROXY", "GOSUMDB", "GOAUTH", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}
	for _, name := range append(dropped, kept...) {
		t.Setenv(name, "a=b")
	}
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	// Other commands keep what is not secret.
	for _, name := range append(dropped, kept...) {
		if got, want := slices.Contains(c.Env, name+"=a=b"), !slices.Contains(secrets, name); got != want {
			t.Errorf("%s is passed on to other commands: %v, want %v", name, got, want)
		}
	}
	for _, name := range dropped {
		if slices.ContainsFunc(c.Fetch, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			t.Errorf("%s is passed on", name)
		}
	}
	for _, name := range kept {
		if !slices.Contains(c.Fetch, name+"=a=b") {
			t.Errorf("%s is not passed on", name)
		}
	}
}
