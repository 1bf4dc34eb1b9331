package gitsource

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"palisade/recipes"
)

// Neither the mirror's configuration and hooks, nor the commit's attributes, nor the
// caller's environment have anything done.
func TestFetchRunsNothing(t *testing.T) {
	f := newForge(t)
	files := maps.Clone(drum)
	files[".gitattributes"] = "*.go filter=evil diff=evil\ntests export-ignore\nsigned export-subst\n"
	files["signed"] = "$Format:%G?%d$\n" // which git would ask gpg for
	kept := maps.Clone(files)
	files["tests"] = "left out\n"
	commit := "tree " + f.tree(files) + "\nauthor A <a@example.org> 1700000000 +0000\ncommitter A <a@example.org> 1700000000 +0000\n" +
		"gpgsig -----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----\n\nbeat\n"
	g := f.source(f.run(commit, "hash-object", "-t", "commit", "-w", "--stdin"), kept)
	ran := filepath.Join(t.TempDir(), "ran")
	evil := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil, []byte("#!/bin/sh\necho \"$0\" >> "+ran+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "uploadpack.packObjectsHook", "core.fsmonitor", "core.sshCommand", "core.gitProxy"} {
		f.run("", "config", key, evil)
	}
	for _, hook := range []string{"post-update", "pre-receive", "reference-transaction", "post-checkout"} {
		if err := os.MkdirAll(filepath.Join(f.dir, "hooks"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(f.dir, "hooks", hook), []byte("#!/bin/sh\necho hook >> "+ran+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[filter \"evil\"]\n\tsmudge = "+evil+"\n[core]\n\tfsmonitor = "+evil+"\n[url \"file:///nowhere/\"]\n\tinsteadOf = file://\n[init]\n\ttemplateDir = "+f.dir+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(evil, filepath.Join(bin, "gpg")); err != nil {
		t.Fatal(err)
	}
	c := f.client()
	c.Env = append(c.Env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+home, "GIT_DIR=/nowhere", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.fsmonitor", "GIT_CONFIG_VALUE_0="+evil,
		"GIT_SSH_COMMAND="+evil, "GIT_TEMPLATE_DIR="+f.dir, "GIT_EXTERNAL_DIFF="+evil, "GIT_ALTERNATE_OBJECT_DIRECTORIES=/nowhere", "GIT_TRACE="+ran)
	if _, err := c.Fetch(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(ran); err == nil {
		t.Errorf("this ran: %s", said)
	}
}

// byHand is the hash that a person finds out with the commands of the comment on
// recipes.Git.
func byHand(f *forge, g recipes.Git, end string) string {
	f.t.Helper()
	const script = `cd "$(mktemp -d)" && git archive --prefix="$NAME/" "$COMMIT" | tar -x
find "$NAME" -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum | sha256sum | cut -c-64`
	cmd := exec.Command("/bin/sh", "-c", script+end)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_DIR=" + f.dir, "NAME=" + g.Name, "COMMIT=" + g.Commit, "TMPDIR=" + f.t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("by hand: %v", err)
	}
	got := strings.TrimSpace(string(out))
	if end == "" {
		sum, _ := hex.DecodeString(got)
		got = base64.StdEncoding.EncodeToString(sum)
	}
	return "h1:" + got
}

func TestHashByHand(t *testing.T) {
	f := newForge(t)
	files := map[string]string{"b": "1", "a/c d": "2", "a.b": "3", "ä": "4"}
	g := f.source(f.commit(files), files)
	for _, end := range []string{"", " | xxd -r -p | base64"} {
		if _, err := exec.LookPath("xxd"); err != nil && end != "" {
			continue // the rest is how the sum is written
		}
		if got := byHand(f, g, end); got != g.Hash {
			t.Errorf("by hand it is %s; want %s", got, g.Hash)
		}
	}
}

// Attributes count as they do by hand, but for those that put into files what is not
// of the commit.
func TestHashByHandWithAttributes(t *testing.T) {
	f := newForge(t)
	attributes := "* text eol=crlf\nid ident\nref export-subst\ngone export-ignore\nutf working-tree-encoding=UTF-16LE\n"
	g := f.source(f.commit(map[string]string{
		".gitattributes": attributes, "id": "$Id$\n", "ref": "$Format:%H%d$\n", "gone": "", "utf": "ü\n", "large": strings.Repeat("0123456\n", 3<<20),
	}), nil)
	if err := os.WriteFile(filepath.Join(f.dir, "info", "attributes"), []byte("* -export-subst\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	g.Hash = byHand(f, g, "")
	tree, err := f.client().Fetch(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if ref, err := os.ReadFile(filepath.Join(tree.Dir, "ref")); err != nil || string(ref) != "$Format:%H%d$\r\n" {
		t.Errorf("got %q, %v", ref, err)
	}
}

// A few kilobytes name more files than anybody could list.
func TestFetchTreeBomb(t *testing.T) {
	f := newForge(t)
	kind, hash := "100644 blob", f.run("", "hash-object", "-w", "--stdin")
	for range 10 {
		var listed strings.Builder
		for name := range strings.SplitSeq("abcdefghij", "") {
			listed.WriteString(kind + " " + hash + "\t" + name + "\x00")
		}
		kind, hash = "040000 tree", f.run(listed.String(), "mktree", "-z")
	}
	commit := f.run("", "commit-tree", "-m", "boom", hash)
	f.run("", "update-ref", "refs/heads/main", commit)
	if _, err := f.client().Fetch(t.Context(), f.source(commit, nil)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "git ls-tree says more than") {
		t.Errorf("got %v", err)
	}
}

// A folder of somebody else's is not read, and no other place is asked in its stead.
func TestFetchFromAnothersFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT SEEN: giving a folder to another user takes root")
	}
	f := newForge(t)
	g := f.source(f.commit(drum), drum)
	if err := filepath.WalkDir(f.root, func(name string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, 65534, 65534))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client().Fetch(t.Context(), g); err == nil || errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("got %v", err)
	}
}
