//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Alertmanager knows the time zones that its intervals name where a machine has
// none, as in an image: here amtool reads them in a root that holds it alone.
func TestTimeZones(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can have another root: run this as root")
	}
	r := openRelease(t)
	_, rec := r.component(t, "alertmanager")
	dir := t.TempDir()
	if err := copyFile(r.looseBinary(rec, "amtool"), filepath.Join(dir, "amtool")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "amtool"), 0o755); err != nil {
		t.Fatal(err)
	}
	for zone, known := range map[string]bool{"Europe/Berlin": true, "Asia/Kathmandu": true, "Nowhere/Else": false} {
		config := "route:\n  receiver: none\nreceivers:\n  - name: none\ntime_intervals:\n  - name: office\n    time_intervals:\n      - location: " + zone + "\n"
		if err := os.WriteFile(filepath.Join(dir, "alertmanager.yml"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "/amtool", "check-config", "/alertmanager.yml")
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Pdeathsig: syscall.SIGKILL}
		cmd.Dir, cmd.Env = "/", []string{}
		out, err := cmd.CombinedOutput()
		if (err == nil) != known || !known && !strings.Contains(string(out), zone) {
			t.Errorf("a configuration with %s: %v, %s", zone, err, out)
		}
	}
}
