package surroundings

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// standIn is a command in a user and uts namespace of its own, where the user
// and the host have other names, if the kernel gives them.
func standIn(ctx context.Context, c *change) (*exec.Cmd, []Variation) {
	cpus := Variation{Name: "processors", Value: "1"}
	if runtime.NumCPU() == 1 {
		cpus.Why = "there is only one"
	}
	c.CPUs = 1
	namespaces := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: userID, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: userID, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}, // to set the host name, then dropped
		Pdeathsig:   syscall.SIGKILL,
	}
	user := Variation{Name: "user", Value: strconv.Itoa(userID)}
	host := Variation{Name: "host name", Value: hostName}
	probe := exec.CommandContext(ctx, "/proc/self/exe")
	probe.Args = []string{standInName, `{"umask":63,"host":"` + hostName + `","cpus":1}`, "/proc/self/exe", probeArg}
	probe.SysProcAttr = namespaces
	cmd := command(ctx)
	if err := probe.Run(); err != nil {
		user.Why = fmt.Sprintf("no user namespace: %v", err)
		host.Why = user.Why
	} else {
		c.Host = hostName
		cmd.SysProcAttr = namespaces
	}
	return cmd, []Variation{cpus, user, host}
}

// probeArg makes the stand-in end at once, in the place of a program.
const probeArg = "palisade-probe"

// become changes this process and turns it into the program.
func become(c change, args []string) error {
	runtime.LockOSThread() // what follows is the thread's
	unix.Umask(c.Umask)
	if c.Host != "" {
		if err := unix.Sethostname([]byte(c.Host)); err != nil {
			return fmt.Errorf("setting the host name: %w", err)
		}
		// What may be inherited goes with it, and so the ambient set.
		var none [2]unix.CapUserData
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return fmt.Errorf("dropping capabilities: %w", err)
		}
	}
	if len(args) == 2 && args[1] == probeArg {
		os.Exit(0)
	}
	if c.CPUs > 0 {
		var have, want unix.CPUSet
		if err := unix.SchedGetaffinity(0, &have); err != nil {
			return err
		}
		for cpu := 0; want.Count() < c.CPUs && cpu < 1024; cpu++ {
			if have.IsSet(cpu) {
				want.Set(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &want); err != nil {
			return fmt.Errorf("choosing processors: %w", err)
		}
	}
	return unix.Exec(args[0], args, os.Environ())
}
