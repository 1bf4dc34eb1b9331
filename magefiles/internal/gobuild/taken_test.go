package gobuild

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
	"palisade/magefiles/internal/store"
	"palisade/recipes"
)

// What another machine left is held against what was asked for here, before the
// binaries are read, which are none.
func TestCheckTaken(t *testing.T) {
	p := patched(t)
	// Where there is a sandbox the key says that it was used, whether or not that is wanted.
	unasked := `not made hermetically: "no namespaces"`
	if sandbox.Available() != nil {
		unasked = "reading back bell"
	}
	said := func(worker bool, said artifact.Sandbox) func(*Compiler, *step, *store.Entry) {
		return func(c *Compiler, s *step, _ *store.Entry) {
			if s.Invocation.Sandbox = said; worker {
				c.Elsewhere = elsewhere{}
			}
		}
	}
	for _, tt := range []struct {
		name, want string
		change     func(c *Compiler, s *step, left *store.Entry)
	}{
		{"files that are no binaries", "reading back bell", func(*Compiler, *step, *store.Entry) {}},
		{"a file less", `there are the files ["bell"]`, func(_ *Compiler, _ *step, left *store.Entry) { left.Files = left.Files[:1] }},
		{"a file more", `"pull" "x"`, func(_ *Compiler, _ *step, left *store.Entry) {
			left.Files = append(left.Files, artifact.File{Name: "x"})
		}},
		{"another name", `["bell" "pull.exe"]`, func(_ *Compiler, _ *step, left *store.Entry) { left.Files[1].Name = "pull.exe" }},
		{"another command", "by another command", func(_ *Compiler, s *step, _ *store.Entry) {
			s.Invocation.Args = append(s.Invocation.Args, "-race")
		}},
		{"another environment", "in another environment", func(_ *Compiler, s *step, _ *store.Entry) {
			s.Invocation.Env = append(s.Invocation.Env, "GOFLAGS=-toolexec=x")
		}},
		{"not hermetic, where that is wanted", `not made hermetically: "no namespaces"`, func(c *Compiler, s *step, _ *store.Entry) {
			c.Hermetic, s.Invocation.Sandbox = true, artifact.Sandbox{Reason: "no namespaces"}
		}},
		{"not hermetic, where it could be", unasked, said(false, artifact.Sandbox{Reason: "no namespaces"})},
		{"well, on a worker", "reading back bell", said(true, artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "me"})},
		{"on another kind of worker", `by the executor "cloud"`, said(true, artifact.Sandbox{Hermetic: true, Executor: "cloud", Worker: "me"})},
		{"on a worker without a name", `by the worker ""`, said(true, artifact.Sandbox{Hermetic: true, Executor: "buildkit"})},
		{"on a worker with a long name", `by the worker "mmm`, said(true, artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: strings.Repeat("m", artifact.MaxWorker+1)})},
		{"on a worker whose name is not printed", `by the worker "me\n"`, said(true, artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "me\n"})},
		{"on a worker whose namespaces were seen", `namespaces ["net"]`, said(true, artifact.Sandbox{Hermetic: true, Executor: "buildkit", Worker: "me", Namespaces: []string{"net"}})},
		{"on a worker of no executor", `by the worker "me"`, said(false, artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}, Worker: "me"})},
		{"hermetic, and a reason why not", `hermetically: "no"`, said(false, artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}, Reason: "no"})},
		{"hermetic without namespaces", "namespaces []", said(false, artifact.Sandbox{Hermetic: true})},
		{"namespaces out of order", `namespaces ["net" "mnt"]`, said(false, artifact.Sandbox{Hermetic: true, Namespaces: []string{"net", "mnt"}})},
		{"a namespace that is not printed", `namespaces ["\x1b[2J"]`, said(false, artifact.Sandbox{Hermetic: true, Namespaces: []string{"\x1b[2J"}})},
		{"on a worker", `by the executor "buildkit"`, func(_ *Compiler, s *step, _ *store.Entry) { s.Invocation.Sandbox.Executor = "buildkit" }},
		{"on no worker", `by the executor ""`, func(c *Compiler, _ *step, _ *store.Entry) { c.Elsewhere = elsewhere{} }},
	} {
		c := &Compiler{Distribution: &recipes.Distribution{Name: "palisade"}}
		cmd, err := c.command(p, linux)
		if err != nil {
			t.Fatal(err)
		}
		left := store.Entry{Dir: t.TempDir(), Files: []artifact.File{{Name: "bell"}, {Name: "pull"}}}
		for _, f := range left.Files {
			if err := os.WriteFile(filepath.Join(left.Dir, f.Name), []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		s := step{Invocation: artifact.Invocation{Args: seen(cmd.args), Env: seen(cmd.env), Sandbox: artifact.Sandbox{Hermetic: true, Namespaces: []string{"net"}}}}
		tt.change(c, &s, &left)
		if err := c.checkTaken(t.Context(), p, linux, cmd, s, left); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// What is said of binaries is what their build info says.
func TestAgrees(t *testing.T) {
	binary := func(name string) artifact.Binary {
		return artifact.Binary{Name: name, Digest: artifact.DigestBytes([]byte(name)), Main: artifact.Module{Path: bell.Path}, Modules: []artifact.Module{{Path: rope.Path}}}
	}
	read := []artifact.Binary{binary("bell"), binary("pull")}
	var linked []Links
	for _, b := range read {
		linked = append(linked, Links{Binary: b.Name, Modules: []Link{
			{Module: bell.Path, Packages: []string{bell.Path, bell.Path + "/x"}, Requires: []string{rope.Path, Std}},
			{Module: rope.Path, Packages: []string{rope.Path}}, {Module: Std, Packages: []string{"runtime"}},
		}})
	}
	for _, tt := range []struct {
		name   string
		change func(*step)
		good   bool
	}{
		{"the same", func(*step) {}, true},
		{"another digest", func(s *step) { s.Binaries[0].Digest = artifact.DigestBytes(nil) }, false},
		{"another module", func(s *step) { s.Binaries[1].Modules = nil }, false},
		{"another setting", func(s *step) { s.Binaries[0].Settings = []artifact.Setting{{Key: "-race", Value: "true"}} }, false},
		{"a binary less", func(s *step) { s.Binaries = s.Binaries[:1] }, false},
		{"in another order", func(s *step) { s.Binaries[0], s.Binaries[1] = s.Binaries[1], s.Binaries[0] }, false},
		{"no links", func(s *step) { s.Links = nil }, false},
		{"links of one binary", func(s *step) { s.Links = s.Links[:1] }, false},
		{"links of another binary", func(s *step) { s.Links[0].Binary = "pull" }, false},
		{"a module that is not linked", func(s *step) { s.Links[1].Modules = s.Links[1].Modules[:2] }, false},
		{"a module that is linked in secret", func(s *step) { s.Links[0].Modules = append(s.Links[0].Modules, Link{Module: "example.org/drum"}) }, false},
		{"a package less", func(s *step) { s.Links[0].Modules[0].Packages = s.Links[0].Modules[0].Packages[:1] }, false},
		{"no packages", func(s *step) { s.Links[0].Modules[1].Packages = nil }, false},
		{"a package of another module", func(s *step) { s.Links[0].Modules[1].Packages[0] = "example.org/drum" }, false},
		{"a package twice", func(s *step) { s.Links[0].Modules[0].Packages[1] = bell.Path }, false},
		{"nothing required", func(s *step) { s.Links[0].Modules[0].Requires = nil }, false},
		{"more required", func(s *step) { s.Links[0].Modules[1].Requires = []string{Std} }, false},
	} {
		s := step{Binaries: []artifact.Binary{binary("bell"), binary("pull")}}
		data, err := json.Marshal(linked)
		if err == nil {
			err = json.Unmarshal(data, &s.Links)
		}
		if err != nil {
			t.Fatal(err)
		}
		tt.change(&s)
		if err := s.agrees(read, linked); (err == nil) != tt.good || err != nil && !errors.Is(err, ErrSurprise) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What a command says does not read as what this tool says.
func TestIndented(t *testing.T) {
	if got := indented("\none\ndone bell\n"); got != "\tone\n\tdone bell" {
		t.Errorf("%q", got)
	}
}
