package stories

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"palisade/attestations/signing/sigstoretest"
	"palisade/magefiles/internal/miniature"
)

// A cut is a release that is cut by a run of the pipeline, and goes to a registry
// of its own unless it is said which: nothing was released there before.
type cut struct {
	*miniature.Run
	*pipelines
	tag      string
	job      sigstoretest.Job // as who asks for tokens
	registry *publicRegistry
	claims   sigstoretest.Claims // that a token has in place of the true ones
}

// cut is a new run of the pipeline of a file, on machines of its own.
func (p *pipelines) cut(t *testing.T, name, tag string, to *publicRegistry) *cut {
	t.Helper()
	file, read := githubFile, miniature.GitHub
	if p.provider == sigstoretest.GitLab {
		file, read = gitlabFile, miniature.GitLab
	}
	data, err := os.ReadFile(filepath.Join(p.origin, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	c := &cut{pipelines: p, registry: to, tag: tag, job: sigstoretest.Job{
		Repository: pipelineRepo, Commit: p.git(t, "rev-parse", "refs/tags/"+tag), Ref: "refs/tags/" + tag, Workflow: file, Run: "7",
	}}
	first := ""
	if to == nil {
		c.registry, first = newRegistry(t), "yes"
	}
	c.Run = &miniature.Run{
		Dir: filepath.Join(p.dir, name), Jobs: jobs,
		Log: func(format string, args ...any) {
			t.Logf("%6.1f s  "+format, append([]any{time.Since(begun).Seconds()}, args...)...)
		},
		Values: map[string]string{
			"github.ref_name": tag, "github.actor": registryUser,
			"vars.REGISTRY": c.registry.address + "/palisade", "vars.FIRST": first, "vars.SIGNING_CONFIG": "sigstore/signing_config.json", "vars.TRUSTED_ROOT": "sigstore/trusted_root.json",
		},
		Secrets:  map[string]string{"GITHUB_TOKEN": registryPassword},
		Given:    func(j miniature.Job, m *miniature.Place) error { return c.given(t, j, m) },
		Checkout: func(ctx context.Context, to string) error { return p.checkout(ctx, to, tag) },
	}
	return c
}

// address is HOST:PORT of a URL.
func address(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return host
}

// services are what each job can reach, and nothing else.
func (c *cut) services(job string) map[string]string {
	modules, registry := address(c.world.url), c.registry.address
	switch job {
	case "plan":
		return map[string]string{"modules": modules, "registry": registry}
	case "build":
		return map[string]string{"modules": modules}
	case "assemble":
		return map[string]string{"modules": modules, "advisories": address(c.database)}
	case "sign":
		all := map[string]string{}
		for i, name := range []string{"issuer", "authority", "timestamps", "log"} {
			all[name] = c.stack.Addresses[i]
		}
		return all
	case "publish", "verify":
		return map[string]string{"registry": registry}
	}
	return nil // audit
}

// given is what the CI gives a machine.
func (c *cut) given(t *testing.T, j miniature.Job, m *miniature.Place) error {
	m.Services = c.services(j.Name)
	m.Env = map[string]string{
		"PATH": c.programs + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": m.Home, "TMPDIR": filepath.Join(m.Dir, "tmp"), "CI": "true",
		// Where this world has what is elsewhere in the other.
		"GOPROXY": c.world.url + "/proxy", "GOSUMDB": c.world.verifier + " " + c.world.url + "/sumdb", "npm_config_registry": c.world.url + "/npm",
		"PALISADE_VULNDB": c.database,
	}
	if c.provider == sigstoretest.GitLab {
		c.gitlab(t, j, m)
	} else {
		c.github(j, m)
	}
	cache := filepath.Join(m.Home, ".cache", "palisade")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"go-build", "toolchains"} { // what every machine would make and fetch the same
		if err := os.Symlink(filepath.Join(built.cache, name), filepath.Join(cache, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func (c *cut) github(j miniature.Job, m *miniature.Place) {
	job := c.job
	job.Attempt = strconv.Itoa(1 + c.Attempt)
	for name, value := range map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": pipelineURL, "GITHUB_REPOSITORY": job.Repository,
		"GITHUB_REF": job.Ref, "GITHUB_REF_NAME": c.tag, "GITHUB_REF_TYPE": "tag", "GITHUB_SHA": job.Commit,
		"GITHUB_RUN_ID": job.Run, "GITHUB_RUN_ATTEMPT": job.Attempt, "GITHUB_WORKSPACE": m.Work,
		"GITHUB_OUTPUT": "", "RUNNER_OS": "Linux", "RUNNER_TEMP": filepath.Join(m.Dir, "tmp"),
	} {
		m.Env[name] = value
	}
	if j.Identity {
		m.Env["ACTIONS_ID_TOKEN_REQUEST_URL"], m.Env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = c.stack.Request(c.says(job))
	}
}

// says is what a token of a job says.
func (c *cut) says(job sigstoretest.Job) sigstoretest.Claims {
	all := c.stack.Claims(job)
	maps.Copy(all, c.claims)
	return all
}

func (c *cut) gitlab(t *testing.T, j miniature.Job, m *miniature.Place) {
	for name, value := range map[string]string{
		"GITLAB_CI": "true", "CI_SERVER_URL": pipelineURL, "CI_PROJECT_PATH": c.job.Repository, "CI_PROJECT_DIR": m.Work,
		"CI_COMMIT_TAG": c.tag, "CI_COMMIT_REF_NAME": c.tag, "CI_COMMIT_SHA": c.job.Commit, "CI_JOB_ID": c.job.Run,
		"REGISTRY": c.registry.address + "/palisade", "FIRST": c.Values["vars.FIRST"], "SIGNING_CONFIG": "sigstore/signing_config.json", "TRUSTED_ROOT": "sigstore/trusted_root.json",
	} {
		m.Env[name] = value
	}
	if j.Parallel > 0 {
		m.Env["CI_NODE_INDEX"], m.Env["CI_NODE_TOTAL"] = strconv.Itoa(m.Number), strconv.Itoa(m.Of)
	}
	if j.Secrets {
		m.Env["REGISTRY_USER"], m.Env["REGISTRY_PASSWORD"] = registryUser, registryPassword
	}
	for name, audience := range j.Tokens {
		all := c.says(c.job)
		all["aud"] = audience
		m.Env[name] = c.stack.Token(t, all)
	}
	maps.Copy(m.Env, m.Handed)
}
