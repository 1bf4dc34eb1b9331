package reproduce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"palisade/attestations/artifact"
	"palisade/attestations/intoto"
	"palisade/attestations/provenance"
	"palisade/attestations/rebuild"
)

// A story is a release, and a checkout as it lies there later.
type story struct {
	root, git, commit string
	release           string
	built             built
	options           Options
	noted             bytes.Buffer
}

// tell builds a release from the one commit of a clone, with something in the
// archive that is in no file of it.
func tell(t *testing.T, more string) *story {
	t.Helper()
	s := &story{release: t.TempDir()}
	s.root, s.git, s.commit = clone(t)
	var err error
	if s.built, err = builtFrom(s.root, more); err != nil {
		t.Fatal(err)
	}
	if err := s.built.write(s.release, true, repository(s.commit)); err != nil {
		t.Fatal(err)
	}
	archive, image, err := s.built.statements(repository(s.commit))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.options = Options{
		Targets: []Target{
			{Name: s.built.record.Name, Said: []Said{read(t, archive)}, Folder: s.release, Attest: true},
			{Name: s.built.image.Name, Said: []Said{read(t, image)}, Folder: s.release, Attest: true},
		},
		Sources:    Sources{Root: s.root, Git: s.git},
		Elsewhere:  Elsewhere{Dir: t.TempDir(), Self: self, Cache: t.TempDir(), Stderr: &s.noted},
		Rebuilder:  provenance.Builder{ID: "https://example.org/rebuilder", Version: map[string]string{"palisade": "v2"}, Dependencies: []intoto.Resource{}},
		Invocation: "7",
		Now:        func() time.Time { return time.Unix(1800000000, 5) },
		Note:       func(format string, args ...any) { fmt.Fprintf(&s.noted, format+"\n", args...) },
	}
	return s
}

func read(t *testing.T, statement []byte) Said {
	t.Helper()
	s, err := Read(statement)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What was built from the files that are named comes out again, whatever has
// become of the checkout since.
func TestRunEqual(t *testing.T) {
	for _, tt := range []struct {
		name, noted string
		change      func(t *testing.T, s *story)
	}{
		{"as it lies there", " is built again from the checkout ", func(*testing.T, *story) {}},
		{"another recipe", " of commit ", func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes", component, "recipe.yaml"), "# a change\n")
		}},
		{"another distribution", " of commit ", func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes/distribution.yaml"), "# a change\n")
		}},
		{"a patch less", " of commit ", func(t *testing.T, s *story) {
			for _, p := range s.built.record.Patched[0].Patches {
				os.RemoveAll(filepath.Dir(filepath.Join(s.root, "patches", p.Name)))
			}
		}},
		{"a recipe that cannot be read", " of commit ", func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes", component, "recipe.yaml"), "unknown: field\n")
		}},
		{"a change in what it was not built from", " is built again from the checkout ", func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes/prometheus/recipe.yaml"), "# a change\n")
			edit(t, filepath.Join(s.root, "recipes/recipe.go"), "// a change\n")
		}},
		{"history elsewhere", " of commit ", func(t *testing.T, s *story) {
			s.options.Sources.Repository = s.root
			s.options.Sources.Root = t.TempDir()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tell(t, "")
			tt.change(t, s)
			if strings.Contains(tt.noted, "commit") {
				tt.noted = " is built again from commit " + s.commit
			}
			report, err := Run(t.Context(), s.options)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.noted.String())
			}
			if !report.Equal() || len(report.Results) != 2 || len(report.Attested) != 2 {
				t.Errorf("got %+v", report)
			}
			if strings.Count(s.noted.String(), "is built again from") != 1 || !strings.Contains(s.noted.String(), tt.noted) {
				t.Errorf("it says %s", s.noted.String())
			}
		})
	}
}

// What is attested can be read, and says what was varied without saying where the
// rebuilder lives.
func TestRunAttests(t *testing.T) {
	s := tell(t, "")
	s.options.Targets[0].Attest = false
	report, err := Run(t.Context(), s.options)
	if err != nil || len(report.Attested) != 1 {
		t.Fatalf("%+v, %v\n%s", report, err, s.noted.String())
	}
	a := report.Attested[0]
	if a.Target != s.built.image.Name || a.Folder != s.built.image.Name+".rebuilds" {
		t.Errorf("got %+v", a)
	}
	statement, err := intoto.Parse(a.Statement)
	if err != nil {
		t.Fatal(err)
	}
	said, err := rebuild.Parse(statement)
	if err == nil {
		err = said.Check(s.options.Targets[1].Said[0].Given)
	}
	if err != nil {
		t.Fatal(err)
	}
	if said.Metadata.InvocationID != "7" || said.Metadata.StartedOn != time.Unix(1800000000, 0).UTC() || said.Rebuilder.ID != "https://example.org/rebuilder" {
		t.Errorf("got %+v", said)
	}
	varied := map[string]string{}
	for _, v := range slices.Concat(said.Varied, said.NotVaried) {
		varied[v.Name] = v.Value
	}
	if varied["directory"] != ".../another directory/of some length" || varied["home"] != ".../home" || varied["caches"] == "" || len(varied) != 12 {
		t.Errorf("got %q", varied)
	}
	if i := slices.IndexFunc(said.NotVaried, func(v rebuild.Variation) bool { return v.Name == "executor" }); i < 0 || said.NotVaried[i].Why != "the sandbox of this machine; so it was of the build" {
		t.Errorf("got %+v", said.NotVaried)
	}
	if strings.Contains(string(a.Statement), s.options.Elsewhere.Dir) {
		t.Errorf("it tells where the rebuilder keeps things: %s", a.Statement)
	}
}

// What a worker of BuildKit compiled is compiled here by the sandbox, and that is
// said of archive and image.
func TestRunOfWorkers(t *testing.T) {
	s := tell(t, "")
	s.built.record.Build.Sandbox = artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "w1"}
	s.from(t, repository(s.commit))
	report, err := Run(t.Context(), s.options)
	if err != nil || !report.Equal() || len(report.Attested) != 2 {
		t.Fatalf("%+v, %v\n%s", report, err, s.noted.String())
	}
	for _, a := range report.Attested {
		statement, err := intoto.Parse(a.Statement)
		if err != nil {
			t.Fatal(err)
		}
		said, err := rebuild.Parse(statement)
		if err != nil {
			t.Fatal(err)
		}
		want := rebuild.Variation{Name: "executor", Value: "the sandbox of this machine; of the build it was worker w1 of buildkit"}
		if !slices.Contains(said.Varied, want) {
			t.Errorf("%s: got %+v", a.Target, said.Varied)
		}
	}
}

// An archive and another of the same name, of another commit, are each what comes
// of its own.
func TestRunOfTwoCommits(t *testing.T) {
	s, later := tell(t, ""), tell(t, "")
	edit(t, filepath.Join(later.root, "recipes", component, "recipe.yaml"), "# a change\n")
	var err error
	if later.built, err = builtFrom(later.root, ""); err != nil {
		t.Fatal(err)
	}
	later.from(t, provenance.Repository{})
	s.options.Targets = append(later.options.Targets[:1:1], s.options.Targets[0])
	s.options.Targets[0].Folder = ""
	s.options.Sources = Sources{Root: later.root, Repository: s.root, Git: s.git}
	report, err := Run(t.Context(), s.options)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.noted.String())
	}
	if !report.Equal() || report.Results[0].Digest == report.Results[1].Digest {
		t.Errorf("got %+v", report.Results)
	}
}

// What came of something else does not become equal, whoever signed it; and what
// it differs in is named.
func TestRunDiffers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		more   string
		change func(t *testing.T, s *story)
		want   []string // of the lines of the archive, in order
	}{
		{"other bytes", " and a back door", func(*testing.T, *story) {}, []string{"differs ", ".tar.gz\n", "differs ", "/pushgateway\n", "difference pushgateway-", ".tar.gz", "difference pushgateway.spdx.json", "diffoscope is not installed"}},
		{"the same bytes of another command", "", func(t *testing.T, s *story) {
			s.built.record.Build.Env[0] = "CGO_ENABLED=1"
			archive, _, err := s.built.statements(repository(s.commit))
			if err != nil {
				t.Fatal(err)
			}
			s.options.Targets = s.options.Targets[:1]
			s.options.Targets[0].Said = []Said{read(t, archive)}
		}, []string{"change variable CGO_ENABLED of the compiler: 1 there, 0 here\n"}},
		{"an image of such an archive", "", func(t *testing.T, s *story) {
			s.built.record.Build.Env[0] = "CGO_ENABLED=1"
			s.from(t, repository(s.commit))
			slices.Reverse(s.options.Targets)
		}, []string{"change archive pushgateway-"}},
		{"a version that is not the recipe's", "", func(t *testing.T, s *story) {
			s.built.record.Name = strings.Replace(s.built.record.Name, "pushgateway-", "pushgateway-9", 1)
			s.built.image.Platforms[0].Artifact = s.built.record.Name
			archive, _, err := s.built.statements(repository(s.commit))
			if err != nil {
				t.Fatal(err)
			}
			s.options.Targets = s.options.Targets[:1]
			s.options.Targets[0].Said = []Said{read(t, archive)}
		}, []string{"differs pushgateway-9", "nothing that is called so comes of what its provenance names"}},
		{"by another version of the tool", " and a back door", func(t *testing.T, s *story) {
			s.options.Rebuilder.Dependencies = []intoto.Resource{{Name: "palisade@v2", Digest: intoto.Digests{"dirHash": "ab"}}}
		}, []string{"another version of the tool may make something else: it was  there, and is palisade@v2 (dirHash ab) here\n"}},
		{"documents in another folder", " and a back door", func(t *testing.T, s *story) {
			os.RemoveAll(filepath.Join(s.release, "bin"))
		}, []string{"bin/linux-amd64/hardened/pushgateway.spdx.json does not lie in "}},
		{"nowhere to look", " and a back door", func(t *testing.T, s *story) {
			for n := range s.options.Targets {
				s.options.Targets[n].Folder = ""
				s.options.Targets[n].Explain = func(_ context.Context, rebuilt string) ([]string, error) {
					return []string{"looked at " + filepath.Base(rebuilt)}, nil
				}
			}
		}, []string{"differs ", "looked at pushgateway-"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tell(t, tt.more)
			tt.change(t, s)
			report, err := Run(t.Context(), s.options)
			if err != nil {
				t.Fatalf("%v\n%s", err, s.noted.String())
			}
			if report.Equal() || len(report.Attested) != 0 {
				t.Errorf("got %+v", report)
			}
			var lines strings.Builder
			r := report.Results[0]
			for _, c := range r.Changes {
				fmt.Fprintln(&lines, "change", c)
			}
			for _, name := range r.Differs {
				fmt.Fprintln(&lines, "differs", name)
			}
			for _, d := range r.Differences {
				fmt.Fprintln(&lines, "difference", d)
			}
			fmt.Fprintln(&lines, strings.Join(r.More, "\n"))
			rest := lines.String()
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("no %q in\n%s", want, lines.String())
				}
				rest = after
			}
		})
	}
}

// What cannot be told is an error, and nothing is attested.
func TestRunFails(t *testing.T) {
	const other = "0123456789012345678901234567890123456789"
	for _, tt := range []struct {
		name, want string
		source     bool
		change     func(t *testing.T, s *story)
	}{
		{"a commit that nobody has", "recipes/distribution.yaml, and it was built from commit " + other + " of git+https://code.example.org/house: have that in a clone, and name it with -repository=DIR", true, func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes/distribution.yaml"), "# a change\n")
			s.from(t, repository(other))
		}},
		{"no commit", "the provenance names no commit", true, func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "patches", s.built.record.Patched[0].Patches[0].Name), "\n")
			s.from(t, provenance.Repository{})
		}},
		{"files that are not the commit's, though it says so", "the provenance contradicts itself: the checkout ", false, func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes", component, "recipe.yaml"), "# a change\n")
			var err error
			if s.built, err = builtFrom(s.root, ""); err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(s.root, "recipes", component, "recipe.yaml"), "# another\n")
			s.from(t, repository(s.commit))
		}},
		{"files in no commit", "built from files that were in no commit", true, func(t *testing.T, s *story) {
			edit(t, filepath.Join(s.root, "recipes", component, "recipe.yaml"), "# a change\n")
			var err error
			if s.built, err = builtFrom(s.root, ""); err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(s.root, "recipes", component, "recipe.yaml"), "# another\n")
			r := repository(s.commit)
			r.Clean = false
			s.from(t, r)
		}},
		{"a link that leads out of the commit", "the provenance contradicts itself: the checkout ", false, func(t *testing.T, s *story) {
			file, outside := filepath.Join(s.root, "recipes/distribution.yaml"), filepath.Join(t.TempDir(), "distribution.yaml")
			if err := errors.Join(os.Rename(file, outside), os.Symlink(outside, file)); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"add", "."}, {"-c", "user.name=A", "-c", "user.email=a@example.test", "commit", "-q", "-m", "two"}} {
				if out, err := exec.Command(s.git, append([]string{"-C", s.root}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			commit, err := exec.Command(s.git, "-C", s.root, "rev-parse", "HEAD").Output()
			if err := errors.Join(err, os.Remove(file), os.WriteFile(file, []byte("another"), 0o644)); err != nil {
				t.Fatal(err)
			}
			s.from(t, repository(strings.TrimSpace(string(commit))))
		}},
		{"an original that was replaced", "is no longer what was verified", false, func(t *testing.T, s *story) {
			var err error
			if s.built, err = builtFrom(s.root, " and a back door"); err != nil {
				t.Fatal(err)
			}
			s.from(t, repository(s.commit))
		}},
		{"an image of other archives", "of which the image is made, is not known", false, func(t *testing.T, s *story) { s.options.Targets = s.options.Targets[1:] }},
		{"nothing", "there is nothing to rebuild", false, func(t *testing.T, s *story) { s.options.Targets = nil }},
		{"a build that fails", "exit status 1", false, func(t *testing.T, s *story) { edit(t, filepath.Join(s.root, "recipes/fails"), "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tell(t, "")
			if tt.name == "a build that fails" {
				os.WriteFile(filepath.Join(s.root, "recipes/fails"), nil, 0o644)
			}
			tt.change(t, s)
			report, err := Run(t.Context(), s.options)
			if err == nil || errors.Is(err, ErrSource) != tt.source || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if len(report.Attested) != 0 || report.Equal() {
				t.Errorf("got %+v", report)
			}
			if contradicts := strings.Contains(tt.want, "contradicts"); errors.Is(err, ErrContradiction) != contradicts {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(tt.want, "exit status") && tt.want != "is no longer what was verified" && strings.Contains(s.noted.String(), "building there") {
				t.Errorf("something was built: %s", s.noted.String())
			}
		})
	}
}

// from has the targets say that they were built from that.
func (s *story) from(t *testing.T, r provenance.Repository) {
	t.Helper()
	archive, image, err := s.built.statements(r)
	if err != nil {
		t.Fatal(err)
	}
	s.options.Targets[0].Said, s.options.Targets[1].Said = []Said{read(t, archive)}, []Said{read(t, image)}
}
