// Package config is the only reader of the environment. It turns what a
// person set into a Config, a value that is passed on and can be printed; no
// other package that builds asks for a variable, a home directory or a host
// name.
//
// # Variables
//
//	PALISADE_CACHE        directory of everything fetched and built
//	                      (default: palisade in the user's cache directory)
//	PALISADE_DIST         directory of the results (default: dist)
//	PALISADE_RELEASE      directory of what the steps of a release hand over
//	                      (default: release)
//	PALISADE_VULNDB       the vulnerability database, a folder or an address
//	                      (default: the one of the Go project)
//	GOPROXY, GOSUMDB      as the go command reads them; the checksum database
//	                      cannot be switched off
//	npm_config_registry   as npm reads it
//	PALISADE_GIT_MIRROR   a folder or an address of git repositories that is asked
//	                      first, laid out by name: MIRROR/github.com/elm/core.git
//	                      (default: each repository is asked itself)
//	HTTP(S)_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
//	                      for fetching, and for registries of images
//	DOCKER_CONFIG, DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE
//	                      credentials for registries of images, as docker and podman
//	                      read them; the library that speaks to registries does
//	PALISADE_KEY          the private key that signs: a file of cosign's form, or
//	                      the reference of a key service (awskms://…)
//	                      (default: palisade/cosign.key in the user's directory of
//	                      configuration)
//	COSIGN_PASSWORD       of that file
//	PALISADE_SIGNING_CONFIG, PALISADE_TRUSTED_ROOT
//	                      files that name Sigstore's services, and whom to believe;
//	                      without PALISADE_KEY an identity signs, by the token in
//	                      PALISADE_TOKEN_FILE or SIGSTORE_ID_TOKEN, or GitHub's
//	BUILDKIT_HOST         workers of BuildKit that compile: tcp://HOST:PORT or
//	                      unix:///PATH, several with commas between, or @ and the
//	                      name of a file with one in each line; check:reproducible
//	                      and reproduce do not hear it
//	                      (default: the sandbox of this machine compiles)
//	BUILDKIT_TLS_DIR, BUILDKIT_TLS_SERVER_NAME
//	                      what buildctl's --tlsdir and --tlsservername say
//	GITHUB_ACTIONS, GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID,
//	GITHUB_RUN_ATTEMPT    the address of the workflow run that this is
//	PATH                  where go and git are, and diffoscope
package config

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"palisade/attestations/artifact"
)

// ErrUsage is what every error wraps that the person who started the tool can
// mend by saying something else.
var ErrUsage = errors.New("wrong usage")

// defaultRegistry is npm's own default.
const defaultRegistry = "https://registry.npmjs.org/"

// A Config is all that the tool knows of the place where it runs.
type Config struct {
	Root       string            // the checkout, absolute
	Cache      string            // absolute
	Dist       string            // absolute
	Release    string            // absolute
	Host       artifact.Platform // that builds
	CPUs       int               // that may be used
	Memory     int64             // bytes of the machine, 0 if unknown
	Go         string            // path of the go command, used only to fetch the pinned one
	Registry   string            // of npm packages
	GitMirror  string            // of git repositories, an absolute folder or an address; "" for none
	VulnDB     string            // where known vulnerabilities are looked for, "" for where the Go project keeps them
	Fetch      []string          // environment of the commands that fetch, without what those set themselves
	Env        []string          // environment of other commands: this one, without what only signing may know
	Hermetic   bool              // a build without a sandbox is an error
	Terminal   bool              // stderr can show a live view
	Git        string            // path of the git command, "" if there is none
	Diffoscope string            // path of the diffoscope command, "" if there is none
	Run        string            // address of the workflow run that this is, "" if it is none
	Signing    Signing
	BuildKit   BuildKit
}

// Load reads the environment of a process whose working directory is root or
// a directory below it.
func Load() (*Config, error) {
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	c := &Config{
		Root:     root,
		Host:     artifact.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH},
		CPUs:     runtime.GOMAXPROCS(0),
		Memory:   totalMemory(),
		Registry: firstSet("npm_config_registry", "NPM_CONFIG_REGISTRY"),
		VulnDB:   os.Getenv("PALISADE_VULNDB"),

		GitMirror: os.Getenv("PALISADE_GIT_MIRROR"),
		Fetch:     only(os.Environ(), fetching),
		Env:       without(os.Environ(), secrets),
		Terminal:  os.Getenv("TERM") != "dumb" && os.Getenv("CI") == "",
		Run:       workflowRun(),
		Signing:   loadSigning(),
	}
	if c.Registry == "" {
		c.Registry = defaultRegistry
	}
	if c.Cache = os.Getenv("PALISADE_CACHE"); c.Cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: there is no cache directory: set PALISADE_CACHE: %w", ErrUsage, err)
		}
		c.Cache = filepath.Join(user, "palisade")
	}
	if c.Dist = os.Getenv("PALISADE_DIST"); c.Dist == "" {
		c.Dist = filepath.Join(root, "dist")
	}
	if c.Release = os.Getenv("PALISADE_RELEASE"); c.Release == "" {
		c.Release = filepath.Join(root, "release")
	}
	folders := []*string{&c.Cache, &c.Dist, &c.Release}
	if c.GitMirror != "" && !strings.Contains(c.GitMirror, "://") {
		folders = append(folders, &c.GitMirror)
	}
	for _, p := range folders {
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, err
		}
	}
	if c.Go, err = exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("%w: the go command is not in PATH: %w", ErrUsage, err)
	}
	// Only says what is built from; one that a PATH of relative folders finds may be the checkout's own.
	if git, err := exec.LookPath("git"); err == nil {
		c.Git = git
	}
	if diffoscope, err := exec.LookPath("diffoscope"); err == nil {
		c.Diffoscope = diffoscope
	}
	if c.BuildKit, err = loadBuildKit(); err != nil {
		return nil, err
	}
	if os.Getenv("GOSUMDB") == "off" {
		return nil, fmt.Errorf("%w: GOSUMDB=off: nothing is built that the checksum database did not confirm; unset it", ErrUsage)
	}
	return c, nil
}

// findRoot is the nearest directory, from the working directory upwards, that
// holds recipes/distribution.yaml.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "recipes", "distribution.yaml")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%w: %s is not in a checkout: no recipes/distribution.yaml there or above", ErrUsage, dir)
		}
	}
}

// fetching is all that the commands that fetch may know of this place: where
// modules come from, with which credentials, and how they are reached. What
// could make the go command skip a check, use another toolchain or put files
// elsewhere is not among it, nor is anybody's secret of another kind.
var fetching = []string{
	"HOME", "PATH", "TMPDIR",
	"GOENV", "XDG_CONFIG_HOME", // the user's settings of the go command, of which the addresses are taken
	"GOPROXY", "GOSUMDB", "GOAUTH", "NETRC",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

func only(environ, names []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !slices.Contains(names, name)
	})
}

func without(environ, names []string) []string {
	var kept []string
	for _, kv := range environ {
		if name, _, _ := strings.Cut(kv, "="); !slices.Contains(names, name) {
			kept = append(kept, kv)
		}
	}
	return kept
}

func firstSet(names ...string) string {
	for _, n := range names {
		if v := os.Getenv(n); v != "" {
			return v
		}
	}
	return ""
}
