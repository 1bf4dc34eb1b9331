//go:build unix

package patches

import (
	"syscall"
	"testing"
)

// setUmask sets the umask for the test, and so forbids tests beside it.
func setUmask(t *testing.T, mask int) {
	t.Setenv("UMASK_IS_SET", "for the whole process")
	old := syscall.Umask(mask)
	t.Cleanup(func() { syscall.Umask(old) })
}
