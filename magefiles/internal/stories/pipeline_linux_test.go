package stories

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"palisade/attestations/artifact"
	"palisade/attestations/signing/sigstoretest"
)

// The servers are the tools of .ci/sigstore, see package sigstoretest:
//
//	go test -run '^TestPipeline' ./magefiles/internal/stories -servers DIR
var (
	serversDir = flag.String("servers", "", "`directory` of the built servers of .ci/sigstore")
	cosigns    = flag.String("cosign", "", "comma-separated `programs` of cosign that have to agree")
)

const (
	pipelineURL  = "https://ci.palisade.example" // where the CI has its repositories
	pipelineRepo = "palisade/distribution"
	pipelineTag  = "v1.0.0"
	githubFile   = ".github/workflows/release.yml"
	gitlabFile   = ".gitlab-ci.yml"
)

// A pipelines is where releases are cut: who vouches, what a machine can reach, and
// the repository with the tag.
type pipelines struct {
	dir      string
	world    *world
	stack    *sigstoretest.Stack
	provider sigstoretest.Provider
	database string // address of the vulnerability database
	origin   string // a repository of git
	binary   string
	programs string // folder of the programs that machines find first
}

func newPipelines(t *testing.T, provider sigstoretest.Provider) *pipelines {
	t.Helper()
	if built.skip != "" {
		t.Skip(built.skip)
	}
	if ok, err := condition("namespaces"); err != nil || !ok {
		t.Skip("no machines in miniature without namespaces")
	}
	p := &pipelines{provider: provider, stack: sigstoretest.Start(t, sigstoretest.Options{Servers: *serversDir, Provider: provider, URL: pipelineURL})}
	var err error
	if p.dir, err = os.MkdirTemp("", "palisade-pipelines-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", p.dir).Run(); os.RemoveAll(p.dir) })
	if p.world, err = newWorld(p.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.world.close)
	p.database = newAdvisories(t)
	p.commitAll(t)
	p.compile(t)
	return p
}

// policy is the one that ships, with whom this publisher believes and what he has
// in place of what is nobody's there.
func (p *pipelines) policy(t *testing.T) []byte {
	t.Helper()
	shipped, err := os.ReadFile(filepath.Join(built.root, "attestations", "policies", "release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file, builder := pipelineURL+"/"+pipelineRepo+"/"+githubFile, pipelineURL+"/"+pipelineRepo+"/"+githubFile
	if p.provider == sigstoretest.GitLab {
		file, builder = pipelineURL+"/"+pipelineRepo+"//"+gitlabFile, pipelineURL+"/"+pipelineRepo+"//"+gitlabFile
	}
	var out strings.Builder
	builders := false
	for line := range strings.Lines(string(shipped)) {
		before, _, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(before), "- ")) {
		case "issuer":
			line = "    - issuer: " + p.stack.Issuer + "\n"
		case "subject-pattern":
			line = "      subject-pattern: ^" + strings.ReplaceAll(file, ".", `\.`) + `@refs/tags/v[0-9]+\.[0-9]+\.[0-9]+$` + "\n"
		case "repository":
			line = "      repository: " + pipelineURL + "/" + pipelineRepo + "\n"
		case "attestations": // no check knows components that are none
			line = strings.Replace(line, "test-result, ", "", 1)
		case "builders":
			line, builders = line+"  - "+builder+"\n", true
		case "accept":
			out.WriteString(line)
			for _, name := range []string{"hello", "quiet"} {
				out.WriteString(p.accepted(t, name))
			}
			return []byte(out.String())
		default:
			if builders && strings.HasPrefix(line, "  - ") {
				continue
			}
			builders = false
		}
		out.WriteString(line)
	}
	t.Fatal("the policy that ships accepts nothing")
	return nil
}

// accepted is what the policy says of a component.
func (p *pipelines) accepted(t *testing.T, name string) string {
	upstream, series := "v1.2.3", "\n"
	if name == "quiet" {
		upstream, series = "v0.4.0", " none\n"
	} else {
		base, err := txtar.ParseFile("testdata/checkout.txtar")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []struct{ module, version, patch string }{
			{"example.test/greeting", "v0.1.0", "patches/greeting/v0.1.0/0001-greet-politely.patch"},
			{"example.test/hello", "v1.2.3", "patches/hello/v1.2.3/0001-greet-the-house.patch"},
		} {
			for _, f := range base.Files {
				if f.Name == s.patch { // as sha256sum prints it in patches/
					list := fmt.Sprintf("%s  %s\n", artifact.DigestBytes(f.Data).Hex(), strings.TrimPrefix(s.patch, "patches/"))
					series += fmt.Sprintf("      - module: %s\n        version: %s\n        digest: %s\n", s.module, s.version, artifact.DigestBytes([]byte(list)))
				}
			}
		}
	}
	return fmt.Sprintf("  - component: %s\n    variant: hardened\n    module: example.test/%[1]s\n    minimum-upstream: %s\n    minimum-version: %s-palisade.1\n    patches:%s    audit: passed-if-run\n    checks: any\n",
		name, upstream, strings.TrimPrefix(upstream, "v"), series)
}

// commitAll makes the repository that jobs check out: the stories' checkout, with
// the files of the CI, the policy, who signs, and the tag.
func (p *pipelines) commitAll(t *testing.T) {
	t.Helper()
	p.origin = filepath.Join(p.dir, "origin")
	base, err := txtar.ParseFile("testdata/checkout.txtar")
	if err != nil {
		t.Fatal(err)
	}
	distribution, err := os.ReadFile(filepath.Join(built.root, "recipes", "distribution.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := trustRoots(string(distribution), built.distribution)
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, data []byte) { base.Files = append(base.Files, txtar.File{Name: name, Data: data}) }
	add("recipes/distribution.yaml", []byte(settings))
	for _, name := range []string{githubFile, gitlabFile, ".gitignore"} {
		data, err := os.ReadFile(filepath.Join(built.root, filepath.FromSlash(name)))
		if err != nil && name != gitlabFile {
			t.Fatal(err)
		}
		add(name, data)
	}
	add("go.mod", []byte("module palisade\n\ngo 1.26.0\n"))
	add("attestations/policies/release.yaml", p.policy(t))
	add("sigstore/signing_config.json", p.stack.Config)
	add("sigstore/trusted_root.json", p.stack.Root)
	for _, f := range base.Files {
		if filepath.Base(f.Name) == "go.mod" {
			f.Data = bytes.ReplaceAll(f.Data, []byte("$GO"), []byte(goVersion()))
		}
		if err := writeNew(filepath.Join(p.origin, filepath.FromSlash(f.Name)), f.Data); err != nil {
			t.Fatal(err)
		}
	}
	p.git(t, "init", "-q", "-b", "main")
	p.git(t, "add", "-A")
	p.git(t, "commit", "-q", "-m", "The first release")
	p.git(t, "tag", pipelineTag)
}

// next commits what makes another release of it, and tags that.
func (p *pipelines) next(t *testing.T, version string) (tag string) {
	t.Helper()
	name := filepath.Join(p.origin, "recipes", "distribution.yaml")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	was := []byte("version: " + strings.TrimPrefix(pipelineTag, "v"))
	if bytes.Count(data, was) != 1 {
		t.Fatalf("distribution.yaml does not say once %q", was)
	}
	if err := os.WriteFile(name, bytes.Replace(data, was, []byte("version: "+version), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	p.git(t, "commit", "-q", "-a", "-m", "The next release")
	p.git(t, "tag", "v"+version)
	return "v" + version
}

// git runs it in the repository.
func (p *pipelines) git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := gitIn(t.Context(), p.origin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gitIn(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=somebody", "GIT_AUTHOR_EMAIL=somebody@example.test", "GIT_COMMITTER_NAME=somebody", "GIT_COMMITTER_EMAIL=somebody@example.test"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// checkout is what the CI leaves of a tag: the one commit, from its address, which
// on GitLab has the job's token in it.
func (p *pipelines) checkout(ctx context.Context, to, tag string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	tag = "refs/tags/" + tag
	from := pipelineURL + "/" + pipelineRepo
	if p.provider == sigstoretest.GitLab {
		from = strings.Replace(from, "https://", "https://gitlab-ci-token:of-this-job@", 1) + ".git"
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"fetch", "-q", "--depth=1", "--no-tags", "file://" + p.origin, "+" + tag + ":" + tag},
		{"checkout", "-q", "--detach", tag},
		{"remote", "add", "origin", from},
	} {
		if _, err := gitIn(ctx, to, args...); err != nil {
			return err
		}
	}
	return nil
}

// compile makes the tool of this publisher, whose policy ships in it, and the
// commands that stand before those of the system: "go tool mage" is the tool that
// is compiled already, and "sudo" has nothing to do.
func (p *pipelines) compile(t *testing.T) {
	t.Helper()
	p.programs = filepath.Join(p.dir, "programs")
	p.binary = filepath.Join(p.programs, "palisade")
	gocmd, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.Mkdir(p.programs, 0o755),
		os.WriteFile(filepath.Join(built.copied, "attestations", "policies", "release.yaml"), p.policy(t), 0o644),
		os.WriteFile(filepath.Join(p.programs, "go"), fmt.Appendf(nil, "#!/bin/sh\n[ \"$1 $2\" = 'tool mage' ] || exec %s \"$@\"\nshift 2\nexec %s \"$@\"\n", gocmd, p.binary), 0o755),
		os.WriteFile(filepath.Join(p.programs, "sudo"), []byte("#!/bin/sh\n"), 0o755))
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(built.copied, "magefiles", "mage_output_file.go"))
	cmd := exec.CommandContext(t.Context(), gocmd, "tool", "mage", "-compile", p.binary)
	cmd.Dir = built.copied
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compiling the magefiles: %v\n%s", err, out)
	}
}
