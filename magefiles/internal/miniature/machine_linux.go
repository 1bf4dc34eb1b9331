package miniature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Machine is where commands run. Services are the addresses, HOST:PORT with the
// host 127.0.0.1, that it can reach, by what they are called when one tells of them.
type Machine struct {
	Dir      string // its own; the folder that holds it holds the other machines'
	Services map[string]string
}

// A Command is run in a machine. The path of its program is absolute, and Env is
// all of its environment.
type Command struct {
	Args           []string
	Dir            string
	Env            []string
	Stdout, Stderr io.Writer
}

// A Process is a command that runs, and leads the group of all that it started and
// that did not leave.
type Process struct {
	*exec.Cmd
	ended    chan struct{}
	err      error
	release  func()
	mu       sync.Mutex
	contacts map[string]int
}

// Wait waits until it ended, and returns how.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// Ended is closed when it has.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Off switches the machine off: nothing in the process's group does anything
// after that.
func (p *Process) Off() error {
	err := unix.Kill(-p.Process.Pid, unix.SIGKILL)
	<-p.ended
	return err
}

// Contacts is how often which service was connected to.
func (p *Process) Contacts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]int{}
	for name, n := range p.contacts {
		all[name] = n
	}
	return all
}

const (
	initName  = "palisade-miniature-init" // argv[0] of a machine's first process
	controlFD = 3
	maxAnswer = 64 << 10
)

// An order is what the first process is told, as JSON on controlFD.
type order struct {
	Hidden, Dir string   // a folder, and the one in it that is seen
	Addresses   []string // to listen on
	Work        string
	Args, Env   []string
}

// Start runs a command. The machine ends with it.
func (m Machine) Start(ctx context.Context, c Command) (*Process, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "control")
	defer ours.Close()
	defer theirs.Close()

	p := &Process{Cmd: exec.CommandContext(ctx, "/proc/self/exe"), ended: make(chan struct{}), contacts: map[string]int{}}
	p.Args, p.Env, p.Dir = []string{initName}, []string{}, "/"
	p.Stdout, p.Stderr, p.ExtraFiles = c.Stdout, c.Stderr, []*os.File{theirs}
	p.Cancel = func() error { return unix.Kill(-p.Process.Pid, unix.SIGKILL) }
	p.WaitDelay = 10 * time.Second // what left the group may hold the output
	p.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
		Setpgid:     true,
	}
	o := order{Hidden: filepath.Dir(m.Dir), Dir: m.Dir, Work: c.Dir, Args: c.Args, Env: c.Env}
	var names []string
	for name, address := range m.Services {
		names, o.Addresses = append(names, name), append(o.Addresses, address)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting a machine: %w", err)
	}
	theirs.Close()
	if err := unix.Send(pair[0], text, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("telling a machine what to do: %w", err), p.Off())
	}
	listeners, err := answered(pair[0], len(names))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing a machine: %w", err), p.Off())
	}
	for i, l := range listeners {
		go p.serve(l, names[i], o.Addresses[i])
	}
	go func() {
		<-p.ended
		for _, l := range listeners {
			l.Close()
		}
	}()
	return p, nil
}

// run is the life of the process. Pdeathsig counts the death of the thread that
// forked: this one lives as long.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.Cmd.Start()
	started <- err
	if err == nil {
		p.err = p.Cmd.Wait()
		close(p.ended)
	}
}

// serve passes on what connects to a service.
func (p *Process) serve(l net.Listener, name, address string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.contacts[name]++
		p.mu.Unlock()
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer out.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.Copy(out, in)
				_ = out.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(in, out)
			_ = in.(*net.TCPConn).CloseWrite()
			<-done
		}()
	}
}

// answered is what a machine's first process says before it becomes the command:
// that it is ready, with the sockets that it listens on, or why it is not.
func answered(fd, n int) ([]net.Listener, error) {
	text, rights := make([]byte, maxAnswer), make([]byte, unix.CmsgSpace(4*max(n, 1)))
	got, gotRights, _, _, err := unix.Recvmsg(fd, text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if string(text[:got]) != "ready" {
		return nil, fmt.Errorf("its first process says %q", text[:got])
	}
	if n == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights[:gotRights])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("it sent %d messages with sockets: %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	var all []net.Listener
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "service")
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if len(all) != n {
		return nil, fmt.Errorf("it listens for %d services of %d", len(all), n)
	}
	return all, nil
}
