package surroundings

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// What is listed is all that was made, and nothing is left of it.
func TestListing(t *testing.T) {
	dir := t.TempDir()
	names, err := listing(dir)
	if err != nil || len(names) != 32 || !slices.Contains(names, "961") {
		t.Errorf("got %q, %v", names, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// Nothing is laid over anything where that would be too large, and it is said.
func TestReorderWantsMemory(t *testing.T) {
	err := reorder(t.TempDir(), 1<<20)
	if err == nil || !strings.Contains(err.Error(), "want 1048582 GiB of it to be free, and ") {
		t.Errorf("got %v", err)
	}
}
