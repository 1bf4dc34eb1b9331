package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/mod/sumdb/dirhash"

	"palisade/attestations/artifact"
	"palisade/magefiles/internal/sandbox"
)

const (
	user    = "1000:1000"
	host    = "palisade"
	tmpSize = 2 << 30

	inner = "/w" // where in a writable file system its mount begins: its owner is root, and the command is not
)

// A job is a command as a worker is asked to run it.
type job struct {
	definition     *llb.Definition
	inputs         map[string]fsutil.FS // what the definition calls local, by its name there
	args           []string
	out            string   // host directory for what comes back, "" for nothing
	leaves         []string // that come back, sorted
	stdout, stderr io.Writer
}

// newJob refuses what a worker cannot do as the sandbox would.
func newJob(spec sandbox.Spec, p artifact.Platform) (*job, error) {
	j := &job{inputs: map[string]fsutil.FS{}, stdout: orDiscard(spec.Stdout), stderr: orDiscard(spec.Stderr)}
	j.args = expand(spec.Args)
	if len(j.args) == 0 || !path.IsAbs(j.args[0]) {
		return nil, fmt.Errorf("running %q on a worker: not an absolute path", spec.Args)
	}
	if spec.Serve != "" || spec.Proc || spec.Private || spec.Deny {
		return nil, fmt.Errorf("running %s on a worker: only the sandbox of this machine can serve files, confine /proc, keep files private or be denied", j.args[0])
	}
	root, err := rootOf(spec.Files)
	if err != nil {
		return nil, err
	}
	options := []llb.RunOption{
		llb.Args(j.args), llb.ReadonlyRootFS(), llb.IgnoreCache, llb.WithCustomName(path.Base(j.args[0])),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs(llb.TmpfsSize(tmpSize))),
	}
	output := ""
	for _, m := range slices.SortedFunc(slices.Values(spec.Mounts), func(a, b sandbox.Mount) int { return strings.Compare(a.Target, b.Target) }) {
		switch {
		case !m.Writable:
			state, err := j.input(m)
			if err != nil {
				return nil, fmt.Errorf("sending %s for %s: %w", m.Source, m.Target, err)
			}
			options = append(options, llb.AddMount(m.Target, state, llb.Readonly))
		case m.Leaves == nil:
			options = append(options, llb.AddMount(m.Target, empty(), llb.SourcePath(inner), llb.ForceNoOutput))
		case output != "":
			return nil, fmt.Errorf("running %s on a worker: files come back from %s and from %s", j.args[0], output, m.Target)
		default:
			output, j.out, j.leaves = m.Target, m.Source, slices.Sorted(slices.Values(m.Leaves))
			options = append(options, llb.AddMount(m.Target, empty(), llb.SourcePath(inner)))
		}
	}
	if output == "" {
		return nil, fmt.Errorf("running %s on a worker: no files are to come back", j.args[0])
	}
	for _, kv := range expand(spec.Env) {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("running %s on a worker: %q is no variable", j.args[0], kv)
		}
		root = root.AddEnv(name, value)
	}
	dir := expand([]string{spec.Dir})[0]
	if dir == "" {
		dir = "/"
	}
	ran := root.Dir(dir).User(user).Hostname(host).Network(pb.NetMode_NONE).Security(pb.SecurityMode_SANDBOX).Run(options...)
	j.definition, err = ran.GetMount(output).Marshal(context.Background(), llb.LocalUniqueID(host), llb.Platform(ocispecs.Platform{OS: p.OS, Architecture: p.Arch, Variant: p.Variant}))
	if err != nil {
		return nil, fmt.Errorf("running %s on a worker: %w", j.args[0], err)
	}
	return j, nil
}

// rootOf is the root file system: a place for /tmp, and the files.
func rootOf(files map[string]string) (llb.State, error) {
	action := llb.Mkdir("/tmp", 0o1777) // as what is mounted there is to be
	made := map[string]bool{"/": true, "/tmp": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !path.IsAbs(name) || path.Clean(name) != name {
			return llb.State{}, fmt.Errorf("making file %s on a worker: not a clean absolute path", name)
		}
		if dir := path.Dir(name); !made[dir] {
			action, made[dir] = action.Mkdir(dir, 0o755, llb.WithParents(true)), true
		}
		action = action.Mkfile(name, 0o444, []byte(expand([]string{files[name]})[0]))
	}
	return llb.Scratch().File(action), nil
}

// empty is a file system that holds one directory, in which anybody may write.
func empty() llb.State { return llb.Scratch().File(llb.Mkdir(inner, 0o777)) }

// input sends a directory. What it is called is what it holds, so that a
// worker that has it needs no more than the list of its files.
func (j *job) input(m sandbox.Mount) (llb.State, error) {
	content := m.Content
	if content == "" {
		sum, err := dirhash.HashDir(m.Source, "", dirhash.Hash1)
		if err != nil {
			return llb.State{}, err
		}
		content = sum
	}
	name := "input-" + artifact.DigestBytes([]byte(content)).Hex()
	if j.inputs[name] == nil {
		files, err := directory(m.Source)
		if err != nil {
			return llb.State{}, err
		}
		j.inputs[name] = files
	}
	return llb.Local(name, llb.SharedKeyHint(content), llb.WithCustomName("input "+content)), nil
}

// directory is the regular files and directories of dir with none of the
// times, owners and habits of this machine; it has nothing else, or fails.
func directory(dir string) (fsutil.FS, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !filepath.IsAbs(dir) || !info.IsDir() {
		return nil, errors.New("not the absolute path of a directory")
	}
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(regular{files}, &fsutil.FilterOpt{Map: func(_ string, st *fstypes.Stat) fsutil.MapResult {
		mode := fs.FileMode(st.Mode)
		if mode.IsDir() || mode&0o111 != 0 {
			st.Mode = uint32(mode.Type() | 0o755)
		} else {
			st.Mode = uint32(mode.Type() | 0o644)
		}
		st.ModTime, st.Uid, st.Gid, st.Xattrs = 0, 0, 0, nil
		return fsutil.MapResultKeep
	}})
}

// regular refuses anything that is neither a regular file nor a directory.
type regular struct{ fsutil.FS }

func (r regular) Walk(ctx context.Context, target string, walk fs.WalkDirFunc) error {
	return r.FS.Walk(ctx, target, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a regular file nor a directory", name)
		}
		return walk(name, d, err)
	})
}

// expand puts the root of a worker's file system in place of its mark.
func expand(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = strings.ReplaceAll(s, "{root}", "")
	}
	return out
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
