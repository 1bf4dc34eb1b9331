package vuln

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
	"golang.org/x/vuln/scan"
)

// Bounds of the process that scans.
const (
	maxAddresses = 16 << 30 // bytes that it may map, of which it uses few
	maxHeap      = 3 << 30  // bytes from which on it gives back what it can
	maxCPU       = 10 * 60  // seconds
)

// init takes over when Scan has started this program to scan. Nothing of the
// program's own runs then.
func init() {
	if os.Args[0] != childName {
		return
	}
	if err := obey(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// obey writes what is known of a binary to stdout. It writes no file.
func obey(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("a database and a binary are wanted, not %d arguments", len(args))
	}
	debug.SetMemoryLimit(maxHeap)
	for what, most := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0, unix.RLIMIT_AS: maxAddresses, unix.RLIMIT_CPU: maxCPU} {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("bounding what it may use: %w", err)
		}
	}
	at := url.URL{Scheme: "file", Path: args[0]}
	cmd := scan.Command(context.Background(), "-mode=binary", "-format=json", "-db="+at.String(), args[1])
	cmd.Env = []string{} // nil would be that of the process
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Wait()
}
