package checkout

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"palisade/magefiles/internal/child"
)

// ErrNoCommit is what an error of Extract wraps if the repository does not hold
// the commit, so that another one may.
var ErrNoCommit = errors.New("the commit is not there")

// Bounds of what Extract writes.
const (
	maxCommitted = 100_000 // files
	maxExtracted = 1 << 30 // bytes
)

var commitForm = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Extract writes the files of a commit to dir, which has to be there and empty,
// out of what git keeps for the checkout at root: each byte as it was committed,
// whatever attributes or a configuration say, and neither more nor fewer files;
// what is a submodule is left out. What lies in the checkout itself is not
// looked at. Nothing is fetched: a commit that is not there is ErrNoCommit.
//
// dir is under no version control: what Observe sees there has no commit.
func Extract(ctx context.Context, root, git, commit, dir string) error {
	if err := extract(ctx, repository{root, git}, commit, dir); err != nil {
		return fmt.Errorf("taking commit %.64q out of %s: %w", commit, root, err)
	}
	return nil
}

func extract(ctx context.Context, g repository, commit, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !commitForm.MatchString(commit) {
		return errors.New("that is no commit in full")
	}
	if err := g.there(); err != nil {
		return err
	}
	found, err := g.ask(ctx, "rev-parse", "--verify", "--end-of-options", commit+"^{commit}")
	switch {
	case ctx.Err() != nil:
		return errors.Join(err, ctx.Err()) // git may have answered just before
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNoCommit, err)
	case strings.TrimSpace(found) != commit:
		return fmt.Errorf("%w: git finds %.100q for it", ErrNoCommit, found)
	}
	tree, err := g.ask(ctx, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return err
	}
	committed, err := parseTree(tree)
	if err != nil {
		return err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	return g.extract(ctx, committed, to)
}

// extract writes what was committed. Links come last, so that nothing is
// written through one.
func (g repository) extract(ctx context.Context, committed map[string]blob, to *os.Root) error {
	if len(committed) > maxCommitted {
		return fmt.Errorf("it has %d files, and at most %d are taken", len(committed), maxCommitted)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(committed)) {
		if slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.EqualFold(part, ".git") }) {
			return fmt.Errorf("its file %.200q would be git's own", name)
		}
		if committed[name].mode != "160000" { // a submodule
			names = append(names, name)
		}
	}
	links := map[string]string{}
	err := g.blobs(ctx, names, committed, func(name string, data []byte) error {
		if err := to.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		switch committed[name].mode {
		case "120000":
			links[name] = string(data)
			return nil
		case "100644", "100664": // git wrote the second, long ago
			return writeFile(to, name, data, 0o644)
		case "100755":
			return writeFile(to, name, data, 0o755)
		}
		return fmt.Errorf("git ls-tree: %.200q has the mode %.20q", name, committed[name].mode)
	})
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if err == nil {
			err = to.Symlink(links[name], name)
		}
	}
	return err
}

func writeFile(to *os.Root, name string, data []byte, mode fs.FileMode) error {
	f, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// blobs has git print the content of these files, in this order, as it is kept.
func (g repository) blobs(ctx context.Context, names []string, committed map[string]blob, each func(name string, data []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asked strings.Builder
	for _, name := range names {
		fmt.Fprintln(&asked, committed[name].hash)
	}
	cmd := g.command(ctx, "cat-file", "--batch")
	cmd.Stdin = strings.NewReader(asked.String())
	said := &child.Bounded{Room: maxOutput}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("git cat-file: %w", err)
	}
	var total int64
	printed := bufio.NewReaderSize(out, 64<<10)
	for _, name := range names {
		var data []byte
		if data, err = nextBlob(printed, committed[name].hash, maxExtracted-total); err != nil {
			err = fmt.Errorf("%.200q: %w", name, err)
			break
		}
		total += int64(len(data))
		if err = each(name, data); err != nil {
			break
		}
	}
	if err != nil {
		cancel() // it may have more to say than anybody reads
		_ = cmd.Wait()
		return err
	}
	if err := cmd.Wait(); err != nil {
		return failed(ctx, "cat-file", err, said.String())
	}
	return nil
}

// nextBlob reads what git cat-file --batch prints of one object, and holds it
// against its name.
func nextBlob(r *bufio.Reader, hash string, room int64) ([]byte, error) {
	head, err := r.ReadSlice('\n') // of at most the buffer's size
	if err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	fields := strings.Fields(string(head))
	if len(fields) != 3 || fields[0] != hash || fields[1] != "blob" {
		return nil, fmt.Errorf("git cat-file: it says %.200q", head)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 || size > min(room, maxFile) {
		return nil, fmt.Errorf("it has %.20s bytes, of which at most %d are taken", fields[2], min(room, maxFile))
	}
	data := make([]byte, size+1) // and the newline behind it
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	data = data[:size]
	if got := nameOf(data, len(hash)); got != hash {
		return nil, fmt.Errorf("git keeps it as %s, but it is %s: the repository is damaged", hash, got)
	}
	return data, nil
}

// there refuses what is no repository that can be asked.
func (g repository) there() error {
	if _, err := os.Lstat(filepath.Join(g.root, ".git")); err != nil {
		return errors.New("it is under no version control")
	}
	if g.git == "" {
		return errors.New("there is no git command to ask")
	}
	return nil
}
