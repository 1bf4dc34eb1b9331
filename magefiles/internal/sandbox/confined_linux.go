package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"palisade/attestations/artifact"
)

const (
	initName = "palisade-sandbox-init" // argv[0] of the process that prepares the inside
	specFD   = 3
	reportFD = 4

	insideID  = 1000 // user and group of the command
	servePort = 4873 // any: the network namespace is empty
)

// An order is what the parent tells the init process, as JSON on specFD.
type order struct {
	Mounts     []point
	Files      map[string]string
	Dir        string
	Args       []string // none: prepare everything, run nothing
	Env        []string
	Serve      string
	Proc       bool
	Private    bool
	Namespaces map[string]string // the parent's, as /proc/self/ns has them
}

// An answer is what the init process tells the parent, once, as JSON on
// reportFD.
type answer struct {
	Failed     string   // why the command could not be started
	Namespaces []string // entered, sorted
	Status     uint32   // the command's wait status
	User       time.Duration
	System     time.Duration
	MaxRSS     int64
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

var (
	availablePlain    = sync.OnceValue(func() error { return try(order{}) })
	availableWithProc = sync.OnceValue(func() error { return try(order{Proc: true}) })
)

// available tells the two apart because a container that hides parts of its
// own /proc may have namespaces, but not another /proc.
func available(proc bool) error {
	if proc {
		return availableWithProc()
	}
	return availablePlain()
}

func try(o order) error {
	_, err := enter(context.Background(), o, nil, nil)
	return err
}

func confined(ctx context.Context, p plan) (Result, error) {
	p = p.expand("", fmt.Sprintf("http://127.0.0.1:%d", servePort))
	if !path.IsAbs(p.Args[0]) {
		return Result{}, fmt.Errorf("running %s: not an absolute path", p.Args[0])
	}
	ans, err := enter(ctx, order{
		Mounts: p.points, Files: p.Files, Dir: p.Dir, Args: p.Args, Env: p.Env, Serve: p.Serve, Proc: p.Proc,
		Private: p.Private,
	}, p.Stdout, p.Stderr)
	if err != nil {
		return Result{}, fmt.Errorf("running %s in the sandbox: %w", p.Args[0], err)
	}
	res := Result{
		Report: artifact.Sandbox{Hermetic: true, Namespaces: ans.Namespaces},
		User:   ans.User, System: ans.System, MaxRSS: ans.MaxRSS,
	}
	if ans.Status != 0 {
		return res, fmt.Errorf("running %s in the sandbox: %w", p.Args[0], statusError(syscall.WaitStatus(ans.Status)))
	}
	return res, nil
}

// enter starts this program again in new namespaces as init, and has it carry
// out o.
func enter(ctx context.Context, o order, stdout, stderr io.Writer) (answer, error) {
	var err error
	if o.Namespaces, err = readNamespaces(); err != nil {
		return answer{}, err
	}
	type outcome struct {
		answer
		error
	}
	done := make(chan outcome)
	go func() {
		// Pdeathsig counts the death of the thread that forked, not of the
		// process: this one must live as long as the command.
		// https://go.dev/issue/27505
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ans, err := enterLocked(ctx, o, stdout, stderr)
		done <- outcome{ans, err}
	}()
	out := <-done
	return out.answer, out.error
}

func enterLocked(ctx context.Context, o order, stdout, stderr io.Writer) (answer, error) {
	specR, specW, err := os.Pipe()
	if err != nil {
		return answer{}, err
	}
	defer specR.Close()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		specW.Close()
		return answer{}, err
	}
	defer reportR.Close()

	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{initName}
	cmd.Env = []string{} // nil would be the host's
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{specFD - 3: specR, reportFD - 3: reportW}
	cmd.Stdout, cmd.Stderr = piped(stdout), piped(stderr)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  cloneFlags(o.Namespaces),
		UidMappings: []syscall.SysProcIDMap{{ContainerID: insideID, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: insideID, HostID: os.Getegid(), Size: 1}},
		// A user other than 0 loses the new namespace's capabilities when it
		// executes, unless they are ambient. These are what init needs.
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE},
		Pdeathsig:   syscall.SIGKILL,
		Setsid:      true, // no controlling terminal to type into
	}
	err = cmd.Start()
	specR.Close()
	reportW.Close()
	if err != nil {
		specW.Close()
		if errors.Is(err, unix.ENOSPC) {
			// Of clone this speaks of no disk, and must not be taken for one.
			err = errors.New("the limit on namespaces is reached (sysctl user.max_user_namespaces)")
		}
		return answer{}, fmt.Errorf("starting it in new namespaces: %w", err)
	}
	go func() {
		// A failure shows as init's: it finds the order cut short.
		json.NewEncoder(specW).Encode(o)
		specW.Close()
	}()
	var ans answer
	answered := json.NewDecoder(io.LimitReader(reportR, maxAnswer)).Decode(&ans)
	ended := cmd.Wait()
	switch {
	case answered != nil && ctx.Err() != nil:
		return answer{}, context.Cause(ctx)
	case answered != nil && ended != nil:
		return answer{}, fmt.Errorf("it ended without an answer: %w", ended)
	case answered != nil:
		return answer{}, fmt.Errorf("it ended without an answer: %w", answered)
	case ans.Failed != "":
		return answer{}, errors.New(ans.Failed)
	case ended != nil:
		return answer{}, fmt.Errorf("passing on its output: %w", ended)
	}
	return ans, nil
}
