package surroundings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"palisade/magefiles/internal/child"
)

// standIn is a command in a user and a uts namespace of its own, where the user
// and the host have other names, and in a mount namespace, where a file system
// can lie over the cache; if the kernel gives them.
func standIn(ctx context.Context, o *order) (*exec.Cmd, []Variation) {
	cpus := Variation{Name: "processors", Value: "1"}
	if runtime.NumCPU() == 1 {
		cpus.Why = "there is only one"
	}
	o.CPUs = 1
	user := Variation{Name: "user", Value: strconv.Itoa(userID)}
	host := Variation{Name: "host name", Value: hostName}
	tried := func(more ...Variation) []Variation { return append(more, cpus, user, host) }
	cmd := itself(ctx)
	whole := refused(ctx, namespaces(syscall.CLONE_NEWNS))
	if whole == nil {
		o.Host, o.Memory, cmd.SysProcAttr = hostName, true, namespaces(syscall.CLONE_NEWNS)
		return cmd, tried()
	}
	files := Variation{Name: fileOrder, Why: fmt.Sprintf("no mount namespace: %v", whole)}
	if why := refused(ctx, namespaces(0)); why != nil {
		user.Why = fmt.Sprintf("no user namespace: %v", why)
		host.Why, files.Why = user.Why, user.Why
		return cmd, tried(files)
	}
	o.Host, cmd.SysProcAttr = hostName, namespaces(0)
	return cmd, tried(files)
}

func itself(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "/proc/self/exe") }

func namespaces(more uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS | more,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: userID, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: userID, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}, // to set the host name and to mount, then dropped
	}
}

// refused says why the kernel gives no such namespaces, and nothing if it does.
func refused(ctx context.Context, namespaces *syscall.SysProcAttr) error {
	told, err := json.Marshal(order{Host: hostName, Umask: umask})
	if err != nil {
		return err
	}
	said := &child.Bounded{Room: 200}
	cmd := itself(ctx)
	cmd.Args, cmd.Env, cmd.Stdin, cmd.Stderr, cmd.SysProcAttr = []string{standInName}, []string{}, bytes.NewReader(told), said, namespaces
	err = child.Run(cmd)
	if p := (*fs.PathError)(nil); errors.As(err, &p) { // of the program that is this one
		return p.Err
	} else if err != nil && len(said.Bytes()) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return err
}

// become makes of this process what the programs are to be children of.
func become(o order) (r report, err error) {
	if o.Host != "" {
		if err := unix.Sethostname([]byte(o.Host)); err != nil {
			return r, fmt.Errorf("setting the host name: %w", err)
		}
	}
	if o.Memory {
		order := Variation{Name: fileOrder, Value: "that of a file system in memory, unlike this machine's disk, for what was unpacked or patched and the compiler's cache; not for other modules and the checkout"}
		room, why := reorder(o.Cache, len(o.Programs))
		if why != nil {
			order = Variation{Name: fileOrder, Why: why.Error()}
		}
		r.Room, r.Tried = room, append(r.Tried, order)
	}
	if o.Host != "" {
		// What may be inherited goes with it, and so the ambient set. Other threads
		// have theirs still, and nobody may make them use it.
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return r, fmt.Errorf("dropping capabilities: %w", err)
		}
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return r, fmt.Errorf("keeping programs from tracing this one: %w", err)
		}
	}
	if o.CPUs > 0 {
		var have, want unix.CPUSet
		if err := unix.SchedGetaffinity(0, &have); err != nil {
			return r, err
		}
		for cpu := 0; want.Count() < o.CPUs && cpu < 1024; cpu++ {
			if have.IsSet(cpu) {
				want.Set(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &want); err != nil {
			return r, fmt.Errorf("choosing processors: %w", err)
		}
	}
	return r, nil
}
