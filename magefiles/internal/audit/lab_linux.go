package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	labName    = "palisade-audit-lab" // argv[0] of the process that prepares a private network
	labWeb     = 3                    // the subject's listener, where socket activation wants it
	labControl = 4
	labPort    = 9000
)

// A labOrder is what the process that becomes the subject is told, as JSON.
type labOrder struct {
	Addresses []string // that its loopback interface gets
	Files     map[string]string
	Sockets   []labSocket
	Args, Env []string
}

type labSocket struct{ Network, Address string }

// A labAnswer comes with the sockets that could be opened.
type labAnswer struct {
	Failed  string
	Sockets []labSocket
}

const maxLabAnswer = 64 << 10

func init() {
	if os.Args[0] != labName {
		return
	}
	err := enterLab()
	// Only a failure comes back here.
	answer, _ := json.Marshal(labAnswer{Failed: err.Error()})
	_, _ = unix.Write(labControl, answer)
	os.Exit(1)
}

// enterLab runs in new user, mount and network namespaces, and becomes the
// subject.
func enterLab() error {
	control := os.NewFile(labControl, "control")
	var o labOrder
	if err := json.NewDecoder(control).Decode(&o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making its mounts private: %w", err)
	}
	for at, file := range o.Files {
		if _, err := os.Stat(at); errors.Is(err, os.ErrNotExist) && at == "/etc/nsswitch.conf" {
			continue
		}
		if err := unix.Mount(file, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("replacing %s: %w", at, err)
		}
	}
	if err := loopbackWith(o.Addresses); err != nil {
		return err
	}
	var answer labAnswer
	var fds []int
	for _, s := range o.Sockets {
		f, err := openSocket(s)
		if err != nil {
			continue // an address that this machine does not give: the check says so
		}
		defer f.Close()
		answer.Sockets, fds = append(answer.Sockets, s), append(fds, int(f.Fd()))
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(labControl, text, unix.UnixRights(fds...), nil, 0); err != nil {
		return fmt.Errorf("passing on sockets: %w", err)
	}
	unix.CloseOnExec(labControl)
	env := append(o.Env, fmt.Sprintf("LISTEN_PID=%d", os.Getpid()), "LISTEN_FDS=1")
	return fmt.Errorf("starting %s: %w", o.Args[0], unix.Exec(o.Args[0], o.Args, env))
}

func openSocket(s labSocket) (*os.File, error) {
	if s.Network == "tcp" {
		l, err := net.Listen("tcp", s.Address)
		if err != nil {
			return nil, err
		}
		return l.(*net.TCPListener).File()
	}
	c, err := net.ListenPacket("udp", s.Address)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn).File()
}

// loopbackWith brings loopback up and gives it the addresses that it takes.
func loopbackWith(addresses []string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing up loopback: %w", err)
	}
	i, err := net.InterfaceByName("lo")
	if err != nil {
		return err
	}
	for _, a := range addresses {
		// Without one the check has less to look at, and says so.
		_ = addAddress(netip.MustParseAddr(a), i.Index)
	}
	return nil
}

// addAddress asks the kernel by rtnetlink(7).
func addAddress(a netip.Addr, index int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	family := byte(unix.AF_INET)
	if a.Is6() {
		family = unix.AF_INET6
	}
	raw := a.AsSlice()
	flags := byte(unix.IFA_F_NODAD)
	body := []byte{family, byte(len(raw) * 8), flags, unix.RT_SCOPE_HOST}
	body = appendNative32(body, uint32(index))
	for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		body = appendNative16(appendNative16(body, uint16(4+len(raw))), kind)
		body = append(body, raw...)
	}
	message := appendNative32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	message = appendNative16(message, unix.RTM_NEWADDR)
	message = appendNative16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE)
	message = appendNative32(appendNative32(message, 1), 0)
	if err := unix.Sendto(fd, append(message, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	_, _, err = unix.Recvfrom(fd, answer, 0) // the kernel acts before it answers
	return err
}

// private starts the subject in a network of its own, where it reaches nothing
// but the traps, and where names are resolved by the lab.
func (b *bench) private(ctx context.Context, o options) (*lab, error) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer web.Close()
	webFile, err := web.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer webFile.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "control")
	defer ours.Close()
	defer theirs.Close()

	s, args, err := b.newServer(o)
	if err != nil {
		return nil, err
	}
	dir := s.dir
	order := labOrder{
		Addresses: labAddresses[3:], Files: map[string]string{},
		// A blackbox_exporter cannot tell its URL from a socket that it is given.
		Args: slices.Concat([]string{b.Binary}, args, []string{"--web.systemd-socket"}, b.supported("--web.external-url=http://localhost/")),
		Env:  append(b.environment(dir), s.expandAll(o.env)...),
	}
	for at, text := range map[string]string{
		"/etc/resolv.conf": "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n", "/etc/nsswitch.conf": "hosts: files dns\n",
		"/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
	} {
		file := filepath.Join(dir, filepath.Base(at))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
		order.Files[at] = file
	}
	for _, a := range labAddresses {
		for _, network := range []string{"tcp", "udp"} {
			order.Sockets = append(order.Sockets, labSocket{network, net.JoinHostPort(a, fmt.Sprint(labPort))})
		}
	}
	order.Sockets = append(order.Sockets, labSocket{"udp", "127.0.0.1:53"})

	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{labName}, []string{}, dir, out, out
	cmd.ExtraFiles = []*os.File{labWeb - 3: webFile, labControl - 3: theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if err := s.run(cmd); err != nil {
		return nil, noLab(fmt.Sprintf("this machine allows no namespaces: %v", err))
	}
	theirs.Close()
	if err := json.NewEncoder(ours).Encode(order); err != nil {
		return nil, err
	}
	l := &lab{server: s, private: true, port: fmt.Sprint(labPort), traps: map[string]*trap{}, names: &names{}}
	if err := l.take(pair[0]); err != nil {
		l.close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := s.await(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// take takes the sockets that the process at the other end has opened.
func (l *lab) take(control int) error {
	wait := unix.NsecToTimeval(int64(10 * time.Second))
	if err := unix.SetsockoptTimeval(control, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	text, rights := make([]byte, maxLabAnswer), make([]byte, unix.CmsgSpace(4*(2*len(labAddresses)+1)))
	n, m, _, _, err := unix.Recvmsg(control, text, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return noLab(fmt.Sprintf("preparing a private network: %v: %s", err, lastLine(l.readLog())))
	}
	var answer labAnswer
	if err := json.Unmarshal(text[:n], &answer); err != nil {
		return err
	}
	if answer.Failed != "" {
		return noLab(answer.Failed)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil {
		return err
	}
	var fds []int
	for i := range messages {
		more, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return err
		}
		fds = append(fds, more...)
	}
	if len(fds) != len(answer.Sockets) {
		return fmt.Errorf("%d sockets came of %d", len(fds), len(answer.Sockets))
	}
	for i, s := range answer.Sockets {
		f := os.NewFile(uintptr(fds[i]), s.Address)
		if err := l.watch(s, f); err != nil {
			f.Close()
			return err
		}
		f.Close()
	}
	return nil
}

func (l *lab) watch(s labSocket, f *os.File) error {
	host, port, _ := net.SplitHostPort(s.Address)
	var socket io.Closer
	if s.Network == "tcp" {
		listener, err := net.FileListener(f)
		if err != nil {
			return err
		}
		l.trap(host).serveHTTP(listener)
		socket = listener
	} else {
		packets, err := net.FilePacketConn(f)
		if err != nil {
			return err
		}
		if port == "53" {
			l.names.serve(packets)
		} else {
			l.trap(host).servePackets(packets)
		}
		socket = packets
	}
	l.sockets = append(l.sockets, socket)
	return nil
}

func appendNative16(b []byte, v uint16) []byte { return nativeOrder.AppendUint16(b, v) }
func appendNative32(b []byte, v uint32) []byte { return nativeOrder.AppendUint32(b, v) }
