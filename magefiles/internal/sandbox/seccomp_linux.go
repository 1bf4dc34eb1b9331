package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// machines are the architectures the filter is written for. socketcall is the
// number of the system call that hides socket's arguments from a filter, where
// there is one.
var machines = map[string]struct{ audit, socketcall uint32 }{
	"amd64":   {audit: unix.AUDIT_ARCH_X86_64},
	"arm64":   {audit: unix.AUDIT_ARCH_AARCH64},
	"ppc64le": {audit: unix.AUDIT_ARCH_PPC64LE, socketcall: 102},
	"riscv64": {audit: unix.AUDIT_ARCH_RISCV64},
}

// families are the sockets that a network namespace keeps inside, and that
// ordinary programs open. Others reach past it: a virtual machine's
// AF_VSOCK leads to its host from any namespace.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// restrictSockets installs a filter on this thread, and so on the command,
// that refuses all other families, and io_uring, which opens sockets without
// the system call.
func restrictSockets() error {
	machine, ok := machines[runtime.GOARCH]
	if !ok {
		return errors.New("restricting sockets: no filter for " + runtime.GOARCH)
	}
	// Offsets in struct seccomp_data, see seccomp(2). Little-endian, as all
	// machines above: the low half of an argument comes first.
	const nr, arch, arg0 = 0, 4, 16
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return errors.New("restricting sockets: no filter for big-endian machines")
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(how uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	give := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	missing := give(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	filter := []unix.SockFilter{
		// Another architecture's calls have other numbers.
		load(arch),
		jump(unix.BPF_JEQ, machine.audit, 1, 0),
		missing,
		load(nr),
		// So have amd64's x32 calls.
		jump(unix.BPF_JGE, 0x40000000, 0, 1),
		missing,
		jump(unix.BPF_JEQ, unix.SYS_IO_URING_SETUP, 0, 1),
		missing,
	}
	if machine.socketcall != 0 {
		filter = append(filter, jump(unix.BPF_JEQ, machine.socketcall, 0, 1), missing)
	}
	filter = append(filter,
		jump(unix.BPF_JEQ, unix.SYS_SOCKET, 2, 0),
		jump(unix.BPF_JEQ, unix.SYS_SOCKETPAIR, 1, 0),
		give(unix.SECCOMP_RET_ALLOW),
		load(arg0),
	)
	for _, family := range families {
		filter = append(filter, jump(unix.BPF_JEQ, family, 0, 1), give(unix.SECCOMP_RET_ALLOW))
	}
	filter = append(filter, give(unix.SECCOMP_RET_ERRNO|uint32(unix.EAFNOSUPPORT)))

	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without SPEC_ALLOW older kernels slow everything inside down.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("restricting sockets: %w", errno)
	}
	return nil
}
